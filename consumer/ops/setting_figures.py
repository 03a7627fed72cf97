"""Which settings a process has that must not be in production."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Gauge


def show_cautions(registry: CollectorRegistry, is_set: Mapping[str, bool]) -> None:
    """Show each such setting, and whether it is set: that holds as long as the process lives."""
    figure = Gauge(
        "hopmail_not_for_production",
        "1 where this is set, which must not be in production.",
        ("setting",),
        registry=registry,
    )
    for setting, is_so in is_set.items():
        figure.labels(setting).set(is_so)
