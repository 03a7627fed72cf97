"""What a part of the benchmarks found out, as data for page, terminal and chart. No I/O."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.figures import Spread
from benchmarks.goals import Goal

Rows = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """One part: `how` it was measured, a table whose first row is its head, and what it reached.

    `bars` are what the chart shows of it, in `unit`; those named in `theirs` are not Hopmail's.
    """

    title: str
    how: str
    rows: Rows
    reached: Mapping[Goal, Spread] = field(default_factory=dict)
    bars: Mapping[str, Spread] = field(default_factory=dict)
    theirs: Collection[str] = ()
    unit: str = ""


def per_second(found: Spread) -> tuple[str, str]:
    """Return the cells of a rate: its median and its range."""
    return _whole(found.median), f"{_whole(found.low)}–{_whole(found.high)}"


def milliseconds(found: Spread) -> str:
    """Return the cell of a time: median and range, of seconds."""
    low, high = f"{found.low * 1000:.1f}", f"{found.high * 1000:.1f}"
    return f"{found.median * 1000:.1f} ({low}–{high})"


def times(found: Spread) -> str:
    """Return the cell of a ratio."""
    return f"{found.median:.2f} ({found.low:.2f}–{found.high:.2f})"


def more(share: float) -> str:
    """Return by how much something is more, or less."""
    shown = round(share, 3)
    return f"{abs(shown):.1%} {'less' if shown < 0 else 'more'}"


def _whole(value: float) -> str:
    # A thin space (U+2009) between thousands, as ISO 80000-1 §7.3.1 wants it.
    return f"{value:,.0f}".replace(",", "\u2009") if value >= 100 else f"{value:.1f}"  # noqa: PLR2004 - three digits are enough
