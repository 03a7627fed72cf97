"""What is under way in this process, looked at whenever the file is written."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from consumer.core.flow import Flow
from publisher_lib.routing import Lane

L = TypeVar("L", bound=str)


class FlowFigures(Collector):
    """`look` returns what is under way now; `holds` are all who may hold a lane."""

    def __init__(
        self, registry: CollectorRegistry, look: Callable[[], Flow], holds: Iterable[str]
    ) -> None:
        self._look = look
        self._holds = tuple(holds)
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Yield the figures of one look."""
        flow = self._look()
        yield _received(flow.received)
        yield CounterMetricFamily(
            "hopmail_broker_connections",
            "Connections made to the broker to consume.",
            value=flow.connections,
        )
        yield _by_lane("in_flight", "Deliveries that this process holds unacked.", flow.in_flight)
        yield _by_lane("prefetch", "Deliveries that it may hold at most.", flow.prefetch)
        yield _by_lane(
            "oldest_held_timestamp_seconds",
            "When the oldest mail held was first published; 0: none is held.",
            flow.oldest_held,
        )
        yield _gauge("sessions_open", "SMTP sessions open now.", "relay", flow.sessions_open)
        yield _gauge(
            "consuming_held",
            "1 while a lane, or all, is not consumed for this reason.",
            "by",
            {who: who in flow.holders for who in self._holds},
        )
        paused = {lane: lane in flow.paused for lane in Lane}
        yield _by_lane("lane_paused", "1 while an operator has this lane paused.", paused)


def _received(received: Mapping[tuple[Lane, bool], int]) -> Metric:
    family = CounterMetricFamily(
        "hopmail_received",
        "Deliveries from the broker; redelivered: the broker gave it to somebody before.",
        labels=("lane", "redelivered"),
    )
    for (lane, redelivered), count in received.items():
        family.add_metric((lane, str(redelivered).lower()), count)
    return family


def _by_lane(name: str, told: str, figures: Mapping[Lane, float]) -> Metric:
    return _gauge(name, told, "lane", figures)


def _gauge(name: str, told: str, label: str, figures: Mapping[L, float]) -> Metric:
    family = GaugeMetricFamily(f"hopmail_{name}", told, labels=(label,))
    for value, figure in figures.items():
        family.add_metric((value,), figure)
    return family
