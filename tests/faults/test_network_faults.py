"""Consumers in a network of their own, cut off from the broker or behind a bad line."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dev.broker import Node
from tests.faults.results import SEED, Case
from tests.faults.scene import Scene
from tests.faults.sink import counting_sink
from tests.faults.wire import Wire, network, program_in
from tests.support.broker import Broker, VirtualHost
from tests.support.consumer_process import wait_until

HEARTBEAT_SECONDS = 2
NOTICED_SECONDS = 2 * (HEARTBEAT_SECONDS + 5.0)
"""pika looks for a silent broker every heartbeat and five seconds more."""


@dataclass(frozen=True)
class Abroad:
    """A scene whose consumers reach broker and relay by a wire each."""

    scene: Scene
    program: tuple[str, ...]
    amqp_url: str
    to_broker: Wire
    to_relay: Wire


@pytest.fixture
def abroad(case: Case, tmp_path: Path) -> Iterator[Abroad]:
    """Set up broker and relay at the ends of the wires."""
    with (
        network(SEED) as (namespace, (to_broker, to_relay)),
        node_at(to_broker.address) as node,
        counting_sink(to_relay.address) as sink,
    ):
        vhost = VirtualHost(Broker(node.url, node.management_url), f"t{uuid.uuid4().hex[:12]}")
        vhost.create()
        scene = Scene(case, vhost, sink, tmp_path, node)
        login, _, _place = vhost.url.rpartition("@")
        url = f"{login}@{to_broker.address}:{node.port}{urlsplit(vhost.url).path}"
        url += f"?heartbeat={HEARTBEAT_SECONDS}"
        yield Abroad(scene, program_in(namespace), url, to_broker, to_relay)
        scene.attempts.close()


@contextmanager
def node_at(address: str) -> Iterator[Node]:
    """Run a broker that listens at this address as well."""
    node = Node(management=True)
    with (node.folder / "rabbitmq.conf").open("a") as file:
        file.write(f"listeners.tcp.wire = {address}:{node.port}\n")
    try:
        node.start()
        node.wait_ready()
        yield node
    finally:
        node.stop()


@pytest.mark.faults(18, "broker cut off until that is noticed, both ways and either; heartbeat 2 s")
@pytest.mark.timeout(200)
def test_a_partition_is_noticed_and_doubles_nothing(abroad: Abroad) -> None:
    scene, wire = abroad.scene, abroad.to_broker
    scene.sink.answer_after_seconds = 0.02
    scene.publish(4_000)
    with scene.consumers(2, abroad.program, amqp_url=abroad.amqp_url) as crew:
        for to_broker, to_consumer in ((True, True), (True, False), (False, True)):
            scene.wait_for_more(100)
            lost = len(crew.events("broker connection lost"))
            wire.is_cut_to_here, wire.is_cut_to_there = to_broker, to_consumer
            wait_until(
                lambda: len(crew.events("broker connection lost")) >= lost + 2,  # noqa: B023 - called at once
                NOTICED_SECONDS + 2,
                "the end of both connections",
            )
            wire.mend()
            scene.fault()
        assert any(scene.left().values()), "the cuts came too late to matter"
        count = scene.finish()
    count.holds()
    assert not count.duplicated


@pytest.mark.faults(19, "a fifth of all packets lost, 0.1 to 0.3 s late, a fiftieth doubled")
@pytest.mark.timeout(200)
def test_a_bad_line_loses_and_doubles_nothing(abroad: Abroad) -> None:
    scene = abroad.scene
    scene.publish(100)
    with scene.consumers(2, abroad.program, amqp_url=abroad.amqp_url.partition("?")[0]):
        scene.wait_for_mails(20)
        for wire in (abroad.to_broker, abroad.to_relay):
            wire.lost, wire.doubled, wire.late_seconds = 0.2, 0.02, (0.1, 0.3)
        scene.fault()
        scene.publish(30, "amid")
        scene.wait_for_mails(130, 90)
        for wire in (abroad.to_broker, abroad.to_relay):
            wire.mend()
            assert wire.dropped > 20
        count = scene.finish()
    count.holds()
    assert not count.duplicated
