"""Dead letters whose copies are on their way: when the next may go."""

from types import SimpleNamespace
from typing import Any

from consumer.cli.deadletters.confirmed import Confirmed

A_SECOND = 1e-6


def test_the_next_waits_for_its_turn_until_that_is_stopped() -> None:
    waited: list[float] = []
    queue: Any = SimpleNamespace(wait=waited.append)
    confirmed = Confirmed(queue, lambda: None, lambda: len(waited) > 3, A_SECOND)

    assert confirmed.may_go_on()
    assert not waited
    assert not confirmed.may_go_on()
    assert len(waited) > 3
    assert confirmed.trouble == "stopped"
