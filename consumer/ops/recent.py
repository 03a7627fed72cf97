"""How many deliveries a second, of late: for `hopmail status`, which reads a file but once."""

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from consumer.ops.timings import Timings


class Recent(Collector):
    """The rate of what a histogram observes, between the last two times it was read.

    Prometheus has `rate()` for it, over any span.
    """

    def __init__(self, registry: CollectorRegistry, handling: Timings) -> None:
        self._handling = handling
        self._read_seconds = time.monotonic()
        self._counted = 0
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Yield the rate since this was last asked for."""
        now_seconds, counted = time.monotonic(), self._handling.count
        rate = (counted - self._counted) / max(now_seconds - self._read_seconds, 0.001)
        self._read_seconds, self._counted = now_seconds, counted
        yield GaugeMetricFamily(
            "hopmail_recent_deliveries_per_second",
            "Handled deliveries a second between the last two writes of this file.",
            value=rate,
        )
