"""Negative controls: what is done wrong is seen, so what is not seen was done right."""

import signal
from contextlib import suppress
from typing import Any

import pika
import pytest

import consumer.core.topology as topology_module
from consumer.core.topology import lane_queue, retry_queue
from publisher_lib import Lane
from publisher_lib.encode import encode
from publisher_lib.routing import EXCHANGE
from tests.faults import wrong
from tests.faults.attempts import email
from tests.faults.count import Count
from tests.faults.proxy import fault_proxy
from tests.faults.scene import Scene
from tests.faults.sink import AtDot
from tests.support.consumer_process import wait_until

LANE = Lane.TRANSACTIONAL
QUEUE = lane_queue(LANE)


def play_kills(scene: Scene, program: tuple[str, ...], **settings: object) -> Count:
    """Kill a wrong consumer five times amid its work."""
    scene.sink.answer_after_seconds = 0.02
    scene.publish(2_000)
    with scene.consumers(1, program, **settings) as crew:
        for _kill in range(5):
            scene.wait_for_more(100)
            crew.signal(0, signal.SIGKILL)
            scene.fault()
            if not sum(scene.left().values()):
                break
        return scene.finish()


def assert_lost(count: Count, number: int = 1) -> None:
    """Assert that the harness reports so many lost, at least, and not because they still wait."""
    assert len(count.lost) >= number
    assert not any(count.left.values())
    assert any(sentence.startswith("I1") for sentence in count.broken)


@pytest.mark.faults(11, "consumer killed, acks automatic", control=True)
def test_automatic_acks_lose(scene: Scene) -> None:
    assert_lost(play_kills(scene, wrong.AUTO_ACK))


@pytest.mark.faults(11, "consumer killed, ack before sending", control=True)
def test_acks_before_sending_lose(scene: Scene) -> None:
    assert_lost(play_kills(scene, wrong.ACK_BEFORE_SEND))


@pytest.mark.fault_smoke
@pytest.mark.faults(11, "consumer killed, acks for several at once", control=True)
def test_acks_for_several_at_once_lose(scene: Scene) -> None:
    stalled = {f"m-{number}" for number in range(3)}
    scene.sink.at_dot = lambda message_id: AtDot.STALL if message_id in stalled else AtDot.TAKE
    scene.publish(100)
    with scene.consumers(1, wrong.ACK_MULTIPLE) as crew:
        scene.wait_for_mails(97)
        crew.signal(0, signal.SIGKILL)
        scene.fault()
        stalled.clear()
        count = scene.finish()

    assert_lost(count, 3)
    assert {message_id for message_id, _recipient in count.lost} == {"m-0", "m-1", "m-2"}


@pytest.mark.fault_smoke
@pytest.mark.faults(11, "consumer killed, ledger off", control=True)
def test_without_a_ledger_mail_is_doubled(scene: Scene) -> None:
    count = play_kills(scene, ("-m", "consumer"), ledger_url="none")

    assert count.unexcused
    assert not count.lost


@pytest.mark.faults(1, "connection reset, confirms off", control=True)
def test_without_confirms_mail_is_lost(scene: Scene) -> None:
    login = scene.vhost.app_url.rpartition("@")[0]
    with fault_proxy(scene.vhost.broker.port) as proxy:
        proxy.to_server.cut_after = 100_000
        url = f"{login}@127.0.0.1:{proxy.port}/{scene.vhost.name}"
        connection = pika.BlockingConnection(pika.URLParameters(url))
        channel = connection.channel()
        with suppress(pika.exceptions.AMQPError):
            for number in range(1_000):
                publish_unconfirmed(scene, channel, f"m-{number}")
        scene.fault()

    with scene.consumers(1):
        count = scene.finish()
    assert_lost(count)
    assert count.accepted


def publish_unconfirmed(scene: Scene, channel: Any, message_id: str) -> None:
    made = email(message_id)
    message = encode(
        made,
        message_id=message_id,
        traceparent=None,
        login=f"webapp-{scene.vhost.name}",
        app_id=None,
    )
    scene.attempts.note("attempted", message_id, *made.recipients)
    channel.basic_publish(EXCHANGE, LANE.value, message.body, message.properties)
    scene.attempts.note("confirmed", message_id)


@pytest.mark.faults(26, "lane's queue deleted, ladder dead-letters at most once", control=True)
def test_a_ladder_without_at_least_once_loses(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scene.vhost.channel() as channel:
        for queue in topology_module.topology(scene.ladder).queues:
            channel.queue_delete(queue.name)
    careful = topology_module._dead_lettering_to
    monkeypatch.setattr(
        topology_module,
        "_dead_lettering_to",
        lambda *names: careful(*names) | {"x-dead-letter-strategy": "at-most-once"},
    )
    scene.use_ladder(4)
    waiting = retry_queue(LANE, scene.ladder[0])
    scene.sink.at_dot = lambda _message_id: AtDot.REFUSE
    scene.publish(50)
    with scene.consumers(1, wrong.AT_MOST_ONCE) as crew:
        scene.vhost.wait_for_depth(waiting, 50)
        assert crew.stop() == [0]
    scene.sink.at_dot = lambda _message_id: AtDot.TAKE
    with scene.vhost.channel() as channel:
        channel.queue_delete(QUEUE)
    scene.fault()
    wait_until(lambda: scene.vhost.queue_depth(waiting) == 0, what="the ladder's end")

    with scene.consumers(1, wrong.AT_MOST_ONCE):
        assert_lost(scene.finish(), 50)
