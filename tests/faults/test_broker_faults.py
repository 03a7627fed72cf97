"""The broker is killed, restarted, out of memory or disk, and loses queues."""

import time
from datetime import timedelta

import pytest

from consumer.core.topology import lane_queue, retry_queue
from dev.broker import Node
from publisher_lib import Lane, NotPublished, Publisher
from tests.faults.publishing import Killed, Progress
from tests.faults.scene import Scene
from tests.faults.sink import AtDot
from tests.support.consumer_process import wait_until

QUEUE = lane_queue(Lane.TRANSACTIONAL)
LOOK_FOR_QUEUES_AGAIN = " -rabbit dead_letter_worker_publisher_confirm_timeout 5000"
"""In milliseconds. By default it is three minutes before a dead letter is routed once more."""

SHORT = timedelta(seconds=3)


@pytest.mark.faults(1, "broker killed under a publish storm")
@pytest.mark.timeout(400)
def test_a_broker_killed_five_times_keeps_every_receipt(mortal: Scene, node: Node) -> None:
    progress = Progress()

    with mortal.consumers(2), mortal.storm(12_000, on_each=progress):
        for kill in range(5):
            progress.wait_for(2_000 * kill + mortal.random.randint(500, 2_000))
            node.kill()
            node.restart()
            mortal.fault()
        mortal.finish().holds()


@pytest.mark.faults(2, "broker stopped and started in order")
@pytest.mark.timeout(400)
def test_a_broker_restarted_five_times_loses_nothing(mortal: Scene, node: Node) -> None:
    progress = Progress()

    with mortal.consumers(2), mortal.storm(6_000, on_each=progress):
        for restart in range(5):
            progress.wait_for(1_000 * restart + mortal.random.randint(100, 1_000))
            node.control("stop_app")
            node.control("start_app")
            mortal.fault()
        mortal.finish().holds()


@pytest.mark.faults(5, "memory alarm")
@pytest.mark.timeout(200)
def test_a_memory_alarm_stops_publishing_and_nothing_else(mortal: Scene, node: Node) -> None:
    mortal.publish(1_000, "before")
    node.control("set_vm_memory_high_watermark", "0")
    try:
        play_alarm(mortal, "memory")
    finally:
        node.control("set_vm_memory_high_watermark", "0.4")

    play_after_alarm(mortal)


@pytest.mark.faults(6, "disk full: free space below the limit")
@pytest.mark.timeout(200)
def test_a_full_disk_stops_publishing_and_nothing_else(mortal: Scene, node: Node) -> None:
    mortal.publish(1_000, "before")
    node.control("set_disk_free_limit", "99999GB")
    try:
        play_alarm(mortal, "disk")
    finally:
        node.control("set_disk_free_limit", "50MB")

    play_after_alarm(mortal)


def play_alarm(scene: Scene, resource: str) -> None:
    """Amid an alarm: publishing fails in time and says why, closing does not hang, mail goes on."""
    scene.fault()
    publisher = Publisher(scene.vhost.app_url)
    # The broker blocks a connection at its first publish, so that one's outcome is unknown.
    scene.attempts.publish(publisher, "first", timeout=SHORT).exception()
    error = scene.attempts.publish(publisher, "second", timeout=SHORT).exception()
    assert isinstance(error, NotPublished)
    assert resource in str(error)
    started = time.monotonic()
    assert publisher.close(SHORT) == 0
    assert time.monotonic() - started < 10

    with scene.consumers(2):
        scene.wait_for_mails(1_000)
        wait_until(lambda: scene.vhost.unsettled(QUEUE) == 0, 20, "the acks")


def play_after_alarm(scene: Scene) -> None:
    scene.fault()
    with scene.consumers(2):
        scene.publish(500, "after")
        scene.finish().holds()


@pytest.mark.faults(26, "1000 mails in the ladder: broker killed, then the lane's queue deleted")
@pytest.mark.timeout(300)
def test_what_waits_in_the_ladder_survives_a_kill_and_a_deleted_lane(
    mortal: Scene, node: Node
) -> None:
    node._environment["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"] += LOOK_FOR_QUEUES_AGAIN
    mortal.use_ladder(30)
    waiting = retry_queue(Lane.TRANSACTIONAL, mortal.ladder[0])
    mortal.sink.at_dot = lambda _message_id: AtDot.REFUSE
    mortal.publish(1_000)
    with mortal.consumers(2) as crew:
        mortal.vhost.wait_for_depth(waiting, 1_000, 25)
        assert crew.stop() == [0, 0]
    mortal.sink.at_dot = lambda _message_id: AtDot.TAKE

    node.kill()
    node.restart()
    # Deleted while it is still coming up, a queue takes all dead-lettering of 3.10.8 down with it.
    wait_until(lambda: mortal.vhost.unsettled(waiting) == 1_000, 20, "the broker's own count")
    with mortal.vhost.channel() as channel:
        channel.queue_delete(QUEUE)
    wait_until(lambda: mortal.vhost.queue_depth(waiting) == 0, 60, "the ladder's end")
    mortal.fault()

    with mortal.consumers(2):
        mortal.wait_for_mails(1_000)
        mortal.finish().holds()


@pytest.mark.faults(29, "broker, consumers and publisher killed together")
@pytest.mark.timeout(600)
def test_everything_killed_at_once_ten_times_loses_nothing(mortal: Scene, node: Node) -> None:
    mortal.sink.answer_after_seconds = 0.01
    with mortal.consumers(2) as crew:
        for kill in range(10):
            with Killed(mortal.vhost.app_url, mortal.attempts, f"round{kill}", 2_000):
                mortal.wait_for_more(mortal.random.randint(20, 200))
                node.kill()
                crew.kill()
            node.restart()
            crew.start()
            mortal.fault()
        crew.wait_ready()
        count = mortal.finish()
    count.holds()
    assert count.ends.unknown, "no publisher was killed amid its work"
