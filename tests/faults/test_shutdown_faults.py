"""Consumers are stopped or frozen, and what they hold at the broker is taken from them."""

import signal
from datetime import timedelta

import pytest
from pika.exceptions import ChannelClosedByBroker

from consumer.core.topology import lane_queue
from dev.broker import Node
from publisher_lib import Lane
from tests.faults.scene import Scene
from tests.support.consumer_process import wait_until

QUEUE = lane_queue(Lane.TRANSACTIONAL)
HEARTBEAT_SECONDS = 2


def play_stops(scene: Scene, stops: int, mails: int) -> None:
    """Stop one of two consumers after the other in order, each time amid its work."""
    scene.sink.answer_after_seconds = 0.04
    scene.publish(mails)
    with scene.consumers(2) as crew:
        for stop in range(stops):
            scene.wait_for_more(20)
            assert any(scene.left().values()), "the stops came too late to matter"
            crew.signal(stop % 2, signal.SIGTERM)
            scene.fault()
            wait_until(lambda: crew.restarts > stop, 30, "its end")  # noqa: B023 - called at once
            crew.wait_ready()
        assert crew.codes == [0] * stops
        count = scene.finish()
    count.holds()
    assert not count.in_doubt
    assert not count.duplicated


@pytest.mark.faults(13, "consumers stopped in order, one after the other")
@pytest.mark.timeout(300)
def test_consumers_stopped_twenty_times_double_nothing(scene: Scene) -> None:
    play_stops(scene, stops=20, mails=4_000)


@pytest.mark.fault_smoke
@pytest.mark.faults(13, "consumers stopped in order, in short")
def test_consumers_stopped_four_times_double_nothing(scene: Scene) -> None:
    play_stops(scene, stops=4, mails=3_000)


@pytest.mark.faults(14, "consumer frozen for more than three heartbeats")
@pytest.mark.timeout(200)
def test_a_frozen_consumer_acks_nothing_that_is_not_its_own_any_more(scene: Scene) -> None:
    scene.sink.answer_after_seconds = 0.02
    url = f"{scene.vhost.url}?heartbeat={HEARTBEAT_SECONDS}"
    with scene.consumers(2, amqp_url=url) as crew, scene.storm(3_000):
        for freeze in range(3):
            scene.wait_for_more(100)
            crew.signal(freeze % 2, signal.SIGSTOP)
            scene.a_while(3.5 * HEARTBEAT_SECONDS, 4 * HEARTBEAT_SECONDS)
            lost = len(crew.events("broker connection lost"))
            crew.signal(freeze % 2, signal.SIGCONT)
            scene.fault()
            wait_until(
                lambda: len(crew.events("broker connection lost")) > lost,  # noqa: B023 - as above
                what="the end of the connection that the broker closed",
            )
        count = scene.finish()
    count.holds()
    assert not count.duplicated


@pytest.mark.faults(15, "broker closes every connection, each 2 s")
@pytest.mark.timeout(200)
def test_connections_closed_again_and_again_cost_nothing(mortal: Scene, node: Node) -> None:
    mortal.sink.answer_after_seconds = 0.02
    mortal.publish(3_000, "before")
    with mortal.consumers(2) as crew, mortal.storm(3_000):
        for _closing in range(8):
            mortal.a_while(2, 2)
            node.control("close_all_connections", "--vhost", mortal.vhost.name, "a fault")
            mortal.fault()
        assert len(crew.events("broker connection lost")) >= 8
        count = mortal.finish()
    count.holds()
    assert not count.duplicated


@pytest.mark.fault_smoke
@pytest.mark.faults(16, "lane's queue deleted amid its work")
def test_a_deleted_queue_is_made_again_and_consumed(scene: Scene) -> None:
    scene.sink.answer_after_seconds = 0.3
    with scene.consumers(2) as crew:
        for deletion in range(4):
            scene.publish(40, f"m-{deletion}")
            scene.vhost.wait_for_depth(QUEUE, 0)
            with scene.vhost.channel() as channel:
                channel.queue_delete(QUEUE)
            scene.fault()
            wait_until(lambda: is_consumed_by(scene, 2), 10, "both consumers")
            # What is stopped now would be given back to a queue that is no more.
            scene.wait_for_mails(40 * (deletion + 1))
        assert len(crew.events("consumer cancelled by the broker")) >= 4 * 2
        scene.finish().holds()


def is_consumed_by(scene: Scene, consumers: int) -> bool:
    try:
        return scene.vhost.consumers_of(QUEUE) == consumers
    except ChannelClosedByBroker:
        return False


LATE_SECONDS = 8.0


def set_consumer_timeout(node: Node, timeout: timedelta, look: timedelta) -> None:
    """Have channels that open from now on time out, looked at so often: once a minute by itself."""
    for name, value in (("consumer_timeout", timeout), ("channel_tick_interval", look)):
        milliseconds = value // timedelta(milliseconds=1)
        node.control("eval", f"application:set_env(rabbit, {name}, {milliseconds}).")


@pytest.mark.faults(17, "acks later than the consumer timeout, set to 4 s")
@pytest.mark.timeout(200)
def test_acks_that_come_too_late_for_the_broker_double_nothing(mortal: Scene, node: Node) -> None:
    set_consumer_timeout(node, timedelta(seconds=LATE_SECONDS / 2), timedelta(seconds=0.5))
    try:
        mortal.sink.answer_after_seconds = LATE_SECONDS
        with mortal.consumers(2) as crew:
            mortal.publish(8)
            wait_until(lambda: len(crew.events("broker connection lost")) >= 2, 30, "the timeout")
            mortal.fault()
            mortal.wait_for_mails(8)
            mortal.sink.answer_after_seconds = 0
            mortal.publish(300, "after")
            count = mortal.finish()
    finally:
        set_consumer_timeout(node, timedelta(minutes=30), timedelta(minutes=1))
    count.holds()
    assert not count.duplicated
    assert any("406" in line["detail"] for line in crew.events("broker connection lost"))
