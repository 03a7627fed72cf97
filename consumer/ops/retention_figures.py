"""How many dead letters were removed because their time was over."""

from prometheus_client import CollectorRegistry, Counter

from consumer.core.disposition import Reason


class RetentionFigures:
    """A counter of those removed, by the reason for which they lay there."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._removed = Counter(
            "hopmail_dead_letters_removed",
            "Dead letters removed because they were older than their retention.",
            ("reason",),
            registry=registry,
        )
        for reason in Reason:
            self._removed.labels(reason.value)

    def removed(self, reason: str) -> None:
        """Count one. Thread-safe."""
        self._removed.labels(reason).inc()
