"""Dead letters whose copies are on their way: when to go on."""

import time
from types import SimpleNamespace
from typing import Any

from consumer.cli.deadletters.confirmed import Confirmed

NEVER_A_SECOND = 1e-6


def test_stopped_it_waits_no_longer_for_the_next() -> None:
    queue: Any = SimpleNamespace(wait=time.sleep)
    asked: list[bool] = []
    confirmed = Confirmed(queue, lambda: None, lambda: bool(asked), NEVER_A_SECOND)

    assert confirmed.may_go_on()
    asked.append(True)
    assert not confirmed.may_go_on()
    assert confirmed.trouble == "stopped"
