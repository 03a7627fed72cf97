"""Consumers are killed, stopped, frozen, crash, and run out of time."""

import pytest

from tests.faults.scene import Scene

KILLS = 30


@pytest.mark.faults(11, "consumer killed at random moments under full load")
@pytest.mark.timeout(300)
def test_consumers_killed_thirty_times_lose_nothing(scene: Scene) -> None:
    scene.sink.answer_after_seconds = 0.02
    scene.publish(5_000)

    with scene.consumers(2) as crew:
        for kill in range(KILLS):
            scene.a_while(0.1, 0.8)
            crew.signal(kill % 2)
            scene.fault()
        scene.finish().holds()
