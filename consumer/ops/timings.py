"""Histograms of seconds, cheap to feed."""

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import INF


class Timings(Collector):
    """A histogram for each value of one label, or a single one without a label.

    Each mail is timed three times, and the library's own histogram takes three locks for that and
    looks at its buckets one by one: a quarter of what all figures cost. `values` are shown from the
    start.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        name: str,
        told: str,
        buckets: Sequence[float],
        *,
        label: str = "",
        values: Iterable[str] = (),
    ) -> None:
        self._name, self._told = name, told
        self._labels = (label,) if label else ()
        self._bounds = (*buckets, INF)
        self._spelled = [*map(str, map(float, buckets)), "+Inf"]
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}
        self._lock = threading.Lock()
        for value in values if label else ("",):
            self._show(value)
        registry.register(self)

    def observe(self, seconds: float, value: str = "") -> None:
        """Count a duration. Thread-safe."""
        bucket = bisect_left(self._bounds, seconds)
        with self._lock:
            if value not in self._counts:
                self._show(value)
            self._counts[value][bucket] += 1
            self._sums[value] += seconds

    @property
    def count(self) -> int:
        """How many durations were counted."""
        with self._lock:
            return sum(map(sum, self._counts.values()))

    def collect(self) -> Iterator[Metric]:
        """Yield the histograms."""
        family = HistogramMetricFamily(self._name, self._told, labels=self._labels)
        with self._lock:
            for value, counts in self._counts.items():
                buckets = list(zip(self._spelled, accumulate(counts), strict=True))
                family.add_metric((value,) if self._labels else (), buckets, self._sums[value])
        yield family

    def _show(self, value: str) -> None:
        self._counts[value] = [0] * len(self._bounds)
        self._sums[value] = 0.0
