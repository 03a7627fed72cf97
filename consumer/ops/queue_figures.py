"""What waits on the broker, as the sampler saw it last."""

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Gauge

from consumer.core.waiting import UNKNOWN, Place, Stock

LABELS = ("queue", "kind", "lane")


class QueueFigures:
    """Gauges of every queue; those of one that was never seen are NaN."""

    def __init__(self, registry: CollectorRegistry, places: Iterable[Place]) -> None:
        def gauge(name: str, told: str) -> Gauge:
            return Gauge(f"hopmail_queue_{name}", told, LABELS, registry=registry)

        self._messages = gauge("messages", "Messages that are ready in the queue.")
        self._consumers = gauge("consumers", "Consumers of the queue.")
        self._oldest = gauge(
            "oldest_timestamp_seconds",
            "Nothing that waits in the queue was put there earlier; 0: nothing waits.",
        )
        self._sampled = Gauge(
            "hopmail_queue_sample_timestamp_seconds",
            "When the queues were last looked at; 0 before the first time.",
            registry=registry,
        )
        for place in places:
            for each in (self._messages, self._consumers, self._oldest):
                each.labels(*_labels(place)).set(UNKNOWN)

    def show(self, stocks: Sequence[Stock], sampled_seconds: float) -> None:
        """Take over what a look found, and when that began (Unix time)."""
        for stock in stocks:
            labels = _labels(stock.place)
            self._messages.labels(*labels).set(stock.count.messages)
            self._consumers.labels(*labels).set(stock.count.consumers)
            self._oldest.labels(*labels).set(stock.oldest_seconds)
        self._sampled.set(sampled_seconds)


def _labels(place: Place) -> tuple[str, str, str]:
    return place.queue, place.kind, place.lane or ""
