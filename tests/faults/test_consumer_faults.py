"""Consumers are killed, stopped, frozen, crash, and run out of time."""

from typing import Any

import pytest

from tests.faults.count import Count
from tests.faults.scene import Scene


def play_kills(scene: Scene, kills: int, mails: int, **settings: Any) -> Count:
    """Kill one of two consumers, each time amid its work and at a random moment."""
    scene.sink.answer_after_seconds = 0.04
    scene.publish(mails)
    with scene.consumers(2, **settings) as crew:
        for _kill in range(kills):
            scene.a_while(0.05, 0.6)
            crew.signal(scene.random.randrange(2))
            scene.fault()
            crew.wait_ready()
        assert any(scene.left().values()), "the kills came too late to matter"
        count = scene.finish()
    count.holds()
    return count


@pytest.mark.faults(11, "consumer killed at random moments under full load")
@pytest.mark.timeout(400)
def test_consumers_killed_thirty_times_lose_nothing(scene: Scene) -> None:
    assert play_kills(scene, kills=30, mails=10_000).in_doubt, "no kill hit a mail at its dot"


@pytest.mark.fault_smoke
@pytest.mark.faults(11, "consumer killed under full load, in short")
@pytest.mark.timeout(200)
def test_consumers_killed_five_times_lose_nothing(scene: Scene) -> None:
    play_kills(scene, kills=5, mails=2_000)


@pytest.mark.faults(11, "consumer killed under full load, what is in doubt is held")
@pytest.mark.timeout(300)
def test_what_is_in_doubt_after_a_kill_is_held_and_never_sent_twice(scene: Scene) -> None:
    count = play_kills(scene, kills=10, mails=4_000, if_uncertain="hold")

    assert not count.duplicated
    assert set(count.dead.values()) == {"in_doubt"}


@pytest.mark.faults(
    12, "consumer killed thirty times while its relay is slow: the same mails in hands"
)
@pytest.mark.timeout(300)
def test_thirty_restarts_dead_letter_no_healthy_mail(scene: Scene) -> None:
    """More often than RabbitMQ 4's own delivery limit of 20, and than makes a poison."""
    scene.sink.answer_after_seconds = 30.0
    scene.publish(40)
    with scene.consumers(1) as crew:
        for _kill in range(30):
            crew.wait_ready()
            scene.a_while(0.1, 0.4)
            crew.signal(0)
            scene.fault()
        scene.sink.answer_after_seconds = 0.0
        count = scene.finish()
    count.holds()
    assert not count.dead
