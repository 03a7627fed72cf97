"""The goals, and whether what was measured meets them. No I/O."""

from dataclasses import dataclass
from typing import Final

from benchmarks.figures import Spread

PLACES: Final = 2
"""Behind the point, where a figure is shown and judged."""


@dataclass(frozen=True)
class Goal:
    """A figure to reach: at `least` for the promise, the `aim` beyond it.

    With `is_ceiling` the figure must not exceed them.
    """

    what: str
    least: float
    aim: float
    unit: str = "×"
    is_ceiling: bool = False

    def is_met(self, value: float) -> bool:
        """Whether the promise holds."""
        return self._is_within(value, self.least)

    def verdict(self, value: float) -> str:
        """Return whether promise and aim hold, and by how much the promise does or does not."""
        margin = value / self.least - 1
        if not self.is_met(value):
            return f"✗ {abs(margin):.0%} {'above' if self.is_ceiling else 'below'} it"
        room = f"✓ {abs(margin):.0%} {'below' if self.is_ceiling else 'above'} it"
        return f"{room}, aim met" if self._is_within(value, self.aim) else f"{room}, aim missed"

    def bound(self, value: float) -> str:
        """Return one of the two bounds as the page shows it."""
        return f"{'≤ ' if self.is_ceiling else '≥ '}{value:g}{self.unit}"

    def figures(self, found: Spread) -> str:
        """Return what was measured as the page shows it."""
        low, high = f"{found.low:.{PLACES}f}", f"{found.high:.{PLACES}f}"
        return f"{found.median:.{PLACES}f}{self.unit} ({low}–{high})"

    def _is_within(self, value: float, bound: float) -> bool:
        # As the page shows it: a memory that grew by a page has not grown.
        shown = round(value, PLACES)
        return shown <= bound if self.is_ceiling else shown >= bound


DRAIN_CELERY: Final = Goal("drain against Celery, usual task", 10, 15)
DRAIN_DRAMATIQ: Final = Goal("drain against Dramatiq, usual task", 10, 13)
DRAIN_TUNED: Final = Goal("drain against the faster of the tuned ones", 2, 4)
DRAIN_RELAY: Final = Goal("drain as a share of `smtp-source -d`", 0.25, 0.40, unit="")
PUBLISH_BLOCKING: Final = Goal(
    "confirmed publish (many) against BlockingConnection confirmed", 30, 45
)
PUBLISH_CELERY: Final = Goal("confirmed publish (many) against Celery unconfirmed", 2.5, 4)
SLOW_RELAY: Final = Goal("slow relay, per session, against `smtplib.sendmail`", 1.9, 3.5)
LANES: Final = Goal("transactional p99 with bulk backlog / without", 2, 1.3, is_ceiling=True)
GROWTH: Final = Goal("RSS at 500k backlog / at 1k", 1.1, 1.0, is_ceiling=True)
WATCHED: Final = Goal("drain with metrics and log / without either", 0.90, 0.95, unit="")
START: Final = Goal("worker start to first delivery", 1.5, 0.7, unit=" s", is_ceiling=True)

GOALS: Final = (
    *(DRAIN_CELERY, DRAIN_DRAMATIQ, DRAIN_TUNED, DRAIN_RELAY),
    *(PUBLISH_BLOCKING, PUBLISH_CELERY),
    *(SLOW_RELAY, LANES, GROWTH, START, WATCHED),
)
