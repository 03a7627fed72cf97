"""Prometheus figures of what a web app publishes: `pip install hopmail[metrics]`."""

from functools import cache
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram

from publisher_lib.observe import CONFIRMED, RESULTS
from publisher_lib.routing import Lane

CONFIRM_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class PublisherMetrics:
    """Counts emails by what became of them, and times the confirms: `Publisher(url, metrics=…)`.

    Make one for the process and hand it to each `Publisher`. The figures are in the app's own
    registry, and go where that one goes.

    Raises ValueError when the registry has these figures already.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._messages = cache(
            Counter(
                "hopmail_publisher_messages",
                "Emails published, by what became of them.",
                ("lane", "result"),
                registry=registry,
            ).labels
        )
        self._confirm = cache(
            Histogram(
                "hopmail_publisher_confirm_seconds",
                "From the call to the broker's confirm.",
                ("lane",),
                buckets=CONFIRM_BUCKETS,
                registry=registry,
            ).labels
        )
        # `increase()` does not see the event with which a counter first appears.
        for lane in Lane:
            self._confirm(lane)
            for result in RESULTS:
                self._messages(lane, result)

    def ended(self, lane: Lane, result: str, seconds: float) -> None:
        """Count an email. Thread-safe."""
        self._messages(lane, result).inc()
        if result == CONFIRMED:
            self._confirm(lane).observe(seconds)
