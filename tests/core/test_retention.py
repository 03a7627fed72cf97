"""What is removed from the dead letters: nothing that was not announced, and nothing in doubt."""

from dataclasses import replace
from datetime import timedelta

import pytest

from consumer.core.dead_letter import DeadLetter
from consumer.core.retention import Announced
from tests.core.test_dead_letter_choice import LETTER, NOW

MONTH = timedelta(days=30)
HOUR = timedelta(hours=1)
OLD = replace(LETTER, died_at=NOW - MONTH - timedelta(seconds=1))


def made() -> Announced:
    announced = Announced(MONTH, HOUR)
    announced.begin(NOW, 0.0)
    return announced


def test_it_is_announced_and_goes_an_hour_later() -> None:
    announced = made()

    assert not announced.may_go(OLD, NOW, 0.0)
    assert announced.is_new(OLD, 0.0)
    assert not announced.may_go(OLD, NOW, 3599.0)
    assert not announced.is_new(OLD, 3599.0)
    assert announced.may_go(OLD, NOW, 3600.0)


@pytest.mark.parametrize(
    "other",
    [
        replace(OLD, died_at=NOW - MONTH),
        replace(OLD, died_at=None),
        replace(OLD, is_trusted=False),
        replace(OLD, reason="rabbitmq_delivery_limit"),
        replace(OLD, reason="unknown"),
    ],
)
def test_whatever_is_young_or_does_not_surely_say_how_old_it_is_stays(other: DeadLetter) -> None:
    announced = made()

    for seconds in (0.0, 1e6):
        assert not announced.may_go(other, NOW, seconds)
        assert not announced.is_new(other, seconds)


def test_a_clock_that_is_set_ahead_makes_nothing_old() -> None:
    young = replace(LETTER, died_at=NOW)
    announced = made()
    later = NOW + MONTH * 2

    announced.begin(later, 1800.0)
    assert not announced.may_go(young, later, 1800.0)
    announced.begin(later - MONTH * 2 + HOUR, 5400.0)
    assert not announced.may_go(young, NOW + HOUR, 5400.0)


def test_after_the_clock_was_set_all_are_announced_anew() -> None:
    announced = made()
    assert not announced.may_go(OLD, NOW, 0.0)

    announced.begin(NOW + timedelta(hours=3), 3600.0)

    assert not announced.may_go(OLD, NOW, 3600.0)
    announced.begin(NOW + timedelta(hours=4), 7200.0)
    assert announced.may_go(OLD, NOW, 7200.0)


def test_what_lies_there_no_more_is_announced_again_if_it_comes_back() -> None:
    announced = made()
    announced.may_go(OLD, NOW, 0.0)
    announced.keep_only({OLD.id})
    assert announced.may_go(OLD, NOW, 3600.0)

    announced.keep_only(set())

    assert not announced.may_go(OLD, NOW, 3600.0)
