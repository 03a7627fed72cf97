"""The figures of what is under way, read anew whenever they are written."""

from itertools import product

import pytest
from prometheus_client import CollectorRegistry

from consumer.core.flow import Flow
from consumer.daemon import HOLDS
from consumer.ops.flow_figures import FlowFigures
from publisher_lib.routing import Lane

RELAYS = ("a:25", "b:25")


def flow(*, tenth: int = 0, holders: frozenset[str] = frozenset()) -> Flow:
    """Return one whose figures all differ; a `tenth` of each."""
    return Flow(
        received={
            key: tenth * (number + 1) for number, key in enumerate(product(Lane, (False, True)))
        },
        connections=tenth * 5,
        in_flight={lane: tenth * 6 + number for number, lane in enumerate(Lane)},
        prefetch={Lane.TRANSACTIONAL: 64, Lane.BULK: 16},
        oldest_held={lane: tenth * 100.5 + number for number, lane in enumerate(Lane)},
        sessions_open={relay: tenth * 8 + number for number, relay in enumerate(RELAYS)},
        holders=holders,
        paused={Lane.BULK} if tenth else frozenset(),
    )


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def figures(registry: CollectorRegistry) -> dict[tuple[str, ...], float]:
    """Return each figure by its name and its labels' values."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
    }


def test_each_figure_is_that_of_the_moment(registry: CollectorRegistry) -> None:
    looks = [flow(), flow(tenth=10, holders=frozenset({"relay", "full"}))]
    FlowFigures(registry, lambda: looks.pop(0), HOLDS)

    before, after = figures(registry), figures(registry)

    assert before.keys() == after.keys(), "all series are there from the start"
    assert not looks, "one look serves all figures"
    first, second = Lane
    assert after == {
        ("hopmail_received_total", first, "false"): 10,
        ("hopmail_received_total", first, "true"): 20,
        ("hopmail_received_total", second, "false"): 30,
        ("hopmail_received_total", second, "true"): 40,
        ("hopmail_broker_connections_total",): 50,
        ("hopmail_in_flight", first): 60,
        ("hopmail_in_flight", second): 61,
        ("hopmail_prefetch", "transactional"): 64,
        ("hopmail_prefetch", "bulk"): 16,
        ("hopmail_oldest_held_timestamp_seconds", first): 1005,
        ("hopmail_oldest_held_timestamp_seconds", second): 1006,
        ("hopmail_sessions_open", "a:25"): 80,
        ("hopmail_sessions_open", "b:25"): 81,
        ("hopmail_consuming_held", "relay"): 1,
        ("hopmail_consuming_held", "ledger"): 0,
        ("hopmail_consuming_held", "full"): 1,
        ("hopmail_consuming_held", "paused"): 0,
        ("hopmail_consuming_held", "stopping"): 0,
        ("hopmail_lane_paused", "transactional"): 0,
        ("hopmail_lane_paused", "bulk"): 1,
    }
