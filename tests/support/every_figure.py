"""A worker's file with every figure that one can write."""

from datetime import timedelta
from pathlib import Path

from consumer.cli.cautions import CAUTIONED
from consumer.core.flow import Flow
from consumer.core.waiting import places
from consumer.daemon import HOLDS
from consumer.ops.breaker_figures import BreakerFigures
from consumer.ops.flow_figures import FlowFigures
from consumer.ops.ledger_figures import LedgerFigures
from consumer.ops.log_figures import LogFigures
from consumer.ops.metrics import Metrics
from consumer.ops.queue_figures import QueueFigures
from consumer.ops.setting_figures import show_cautions
from publisher_lib.routing import Lane

RELAY = "relay.example.org:587"
DELAY = timedelta(seconds=30)


def write_every_figure(folder: Path) -> None:
    """Write the file of the first worker, as that has it: with the queues."""
    metrics = Metrics(folder, 0, relays=[RELAY], delays=["30s"])
    metrics.watch(is_connected=lambda: True, is_ledger_in_trouble=lambda: False)
    BreakerFigures(metrics.registry, lambda: {RELAY: None})
    FlowFigures(metrics.registry, _nothing_under_way, HOLDS)
    LedgerFigures(metrics.registry, lambda: 0)
    LogFigures(metrics.registry)
    QueueFigures(metrics.registry, places((DELAY,)))
    show_cautions(metrics.registry, dict.fromkeys(CAUTIONED, False))
    metrics.write()


def _nothing_under_way() -> Flow:
    return Flow(
        received=dict.fromkeys(((lane, again) for lane in Lane for again in (False, True)), 0),
        connections=0,
        in_flight=dict.fromkeys(Lane, 0),
        prefetch=dict.fromkeys(Lane, 1),
        oldest_held=dict.fromkeys(Lane, 0.0),
        sessions_open={RELAY: 0},
        holders=frozenset(),
    )
