"""How many deliveries a second, of late: for `hopmail status`, which reads a file but once."""

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Histogram, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class Recent(Collector):
    """The rate of what a histogram observes, between the last two times it was read.

    Prometheus has `rate()` for it, over any span.
    """

    def __init__(self, registry: CollectorRegistry, handling: Histogram) -> None:
        self._handling = handling
        self._read_seconds = time.monotonic()
        self._counted = 0.0
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Yield the rate since this was last asked for."""
        now_seconds, counted = time.monotonic(), _count(self._handling)
        rate = (counted - self._counted) / max(now_seconds - self._read_seconds, 0.001)
        self._read_seconds, self._counted = now_seconds, counted
        yield GaugeMetricFamily(
            "hopmail_recent_deliveries_per_second",
            "Handled deliveries a second between the last two writes of this file.",
            value=rate,
        )


def _count(histogram: Histogram) -> float:
    samples = (sample for metric in histogram.collect() for sample in metric.samples)
    return sum(sample.value for sample in samples if sample.name.endswith("_count"))
