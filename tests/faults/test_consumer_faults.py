"""Consumers are killed, stopped, frozen, crash, and run out of time."""

import pytest

from tests.faults.scene import Scene


def play_kills(scene: Scene, kills: int, mails: int) -> None:
    """Kill one of two consumers, each time amid its work and at a random moment."""
    scene.sink.answer_after_seconds = 0.04
    scene.publish(mails)
    with scene.consumers(2) as crew:
        for _kill in range(kills):
            scene.a_while(0.05, 0.6)
            crew.signal(scene.random.randrange(2))
            scene.fault()
            crew.wait_ready()
        assert any(scene.left().values()), "the kills came too late to matter"
        scene.finish().holds()


@pytest.mark.faults(11, "consumer killed at random moments under full load")
@pytest.mark.timeout(400)
def test_consumers_killed_thirty_times_lose_nothing(scene: Scene) -> None:
    play_kills(scene, kills=30, mails=10_000)


@pytest.mark.fault_smoke
@pytest.mark.faults(11, "consumer killed under full load, in short")
@pytest.mark.timeout(200)
def test_consumers_killed_five_times_lose_nothing(scene: Scene) -> None:
    play_kills(scene, kills=5, mails=2_000)
