"""Which relays are in trouble, looked at whenever the file is written."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from consumer.core.outcome import Stage
from consumer.core.trouble import Trouble

Troubles = Mapping[str, Trouble | None]


class BreakerFigures(Collector):
    """`look` returns the trouble of every relay now, by its host and port; None: it is well."""

    def __init__(self, registry: CollectorRegistry, look: Callable[[], Troubles]) -> None:
        self._look = look
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Yield the figures of one look, so that they agree."""
        opened = GaugeMetricFamily(
            "hopmail_breaker_open", "1 while the relay is in trouble.", labels=("relay",)
        )
        since = GaugeMetricFamily(
            "hopmail_breaker_open_since_timestamp_seconds",
            "When the relay's trouble began, by the stage at which it fails now; 0: it does not.",
            labels=("relay", "stage"),
        )
        for relay, trouble in self._look().items():
            opened.add_metric((relay,), trouble is not None)
            moments = {trouble.stage: trouble.since.timestamp()} if trouble else {}
            for stage in Stage:
                since.add_metric((relay, stage.name), moments.get(stage, 0))
        yield from (opened, since)
