"""The inbox's promises: order, lanes, a bound in bytes."""

import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from consumer.amqp import inbox as inbox_module
from consumer.amqp.inbox import Inbox
from consumer.core.delivery import Delivery, Properties
from consumer.core.mail import Mail
from publisher_lib.routing import Lane
from tests.support.consumer_process import wait_until
from tests.support.deliveries import unread

NOW_SECONDS = 0.0
SOON_SECONDS = 5.0


def mail(
    tag: int,
    lane: Lane = Lane.TRANSACTIONAL,
    *,
    generation: int = 1,
    body: bytes = b"{}",
    received_seconds: float = 0.0,
) -> Mail:
    return unread(
        Delivery(lane, tag, generation, False, Properties(), body, received_seconds)  # noqa: FBT003 - a record's fields in their order
    )


def take(inbox: Inbox, session: int, seconds: float) -> Mail | None:
    inbox.wait(session, seconds)
    return inbox.take(session)


def tags(inbox: Inbox, session: int, count: int) -> list[int]:
    taken = [take(inbox, session, NOW_SECONDS) for _ in range(count)]
    return [found.delivery.tag for found in taken if found is not None]


def test_a_lane_is_first_in_first_out() -> None:
    inbox = Inbox(sessions=1)
    for tag in (1, 2, 3):
        inbox.put(mail(tag))

    assert tags(inbox, 0, 4) == [1, 2, 3]


def test_what_is_put_back_keeps_its_place() -> None:
    inbox = Inbox(sessions=1)
    for tag in (1, 2, 3):
        inbox.put(mail(tag))
    first, second = take(inbox, 0, NOW_SECONDS), take(inbox, 0, NOW_SECONDS)
    assert first is not None
    assert second is not None

    inbox.put_back(second)
    inbox.put_back(first)

    assert tags(inbox, 0, 3) == [1, 2, 3]


def test_what_processes_died_of_waits_for_its_lane_to_be_clean_and_the_deadliest_goes_first() -> (
    None
):
    inbox = Inbox(sessions=1)
    for tag, deaths in ((1, 1), (2, 0), (3, 4), (4, 1), (5, 0)):
        inbox.put(replace(mail(tag), deaths=deaths))
    inbox.put(replace(mail(6, Lane.BULK), deaths=1))

    assert tags(inbox, 0, 7) == [2, 5, 3, 1, 4, 6]


def test_what_processes_died_of_is_put_back_behind_the_clean() -> None:
    inbox = Inbox(sessions=1)
    inbox.put(replace(mail(1), deaths=1))
    deadly = take(inbox, 0, NOW_SECONDS)
    assert deadly is not None
    inbox.put(mail(2))

    inbox.put_back(deadly)

    assert tags(inbox, 0, 2) == [2, 1]


def test_a_single_session_takes_transactional_first_and_bulk_each_32nd_time() -> None:
    inbox = Inbox(sessions=1)
    for tag in range(1, 4):
        inbox.put(mail(tag, Lane.BULK))
    for tag in range(101, 165):
        inbox.put(mail(tag, Lane.TRANSACTIONAL))

    expected = [*range(101, 132), 1, *range(132, 163), 2, 163, 164, 3]
    assert tags(inbox, 0, len(expected)) == expected


def test_the_first_of_several_sessions_never_takes_bulk() -> None:
    inbox = Inbox(sessions=2)
    inbox.put(mail(1, Lane.BULK))

    assert take(inbox, 0, NOW_SECONDS) is None
    assert tags(inbox, 1, 1) == [1]


def test_a_waiting_session_gets_what_comes() -> None:
    inbox = Inbox(sessions=2)
    found: list[Mail | None] = []
    waiting = threading.Thread(target=lambda: found.append(take(inbox, 0, SOON_SECONDS)))
    waiting.start()

    inbox.put(mail(1, Lane.BULK))
    inbox.put(mail(2, Lane.TRANSACTIONAL))
    waiting.join(SOON_SECONDS)

    assert [taken.delivery.tag for taken in found if taken] == [2]


def test_closing_wakes_every_waiting_session_and_hands_out_no_more() -> None:
    inbox = Inbox(sessions=2)
    found: list[Mail | None] = []
    waiting = [
        threading.Thread(target=lambda s=session: found.append(take(inbox, s, 60)))
        for session in (0, 1)
    ]
    for thread in waiting:
        thread.start()
    started = time.monotonic()

    inbox.close()
    for thread in waiting:
        thread.join(SOON_SECONDS)
    inbox.put(mail(1))

    assert found == [None, None]
    assert time.monotonic() - started < SOON_SECONDS
    assert take(inbox, 0, NOW_SECONDS) is None


def test_too_many_bytes_hold_consuming_until_half_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_module, "MAX_HELD_BYTES", 100)
    told: list[tuple[Lane, bool]] = []
    inbox = Inbox(sessions=1, on_full=lambda lane, full: told.append((lane, full)))
    inbox.put(mail(9, Lane.BULK, body=b"x" * 90))
    for tag in (1, 2, 3):
        inbox.put(mail(tag, body=b"x" * 40))
    assert told == [(Lane.TRANSACTIONAL, True)], "each lane has a bound of its own"

    take(inbox, 0, NOW_SECONDS)
    assert told == [(Lane.TRANSACTIONAL, True)], "80 bytes are still more than half"
    take(inbox, 0, NOW_SECONDS)
    take(inbox, 0, NOW_SECONDS)

    assert told == [(Lane.TRANSACTIONAL, True), (Lane.TRANSACTIONAL, False)]


def test_clearing_forgets_everything_and_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_module, "MAX_HELD_BYTES", 100)
    told: list[bool] = []
    inbox = Inbox(sessions=1, on_full=lambda _lane, full: told.append(full))
    inbox.put(mail(1, body=b"x" * 101))

    cleared = inbox.clear()

    assert [found.delivery.tag for found in cleared] == [1]
    assert len(inbox) == 0
    assert told == [True, False]


def test_only_what_waits_too_long_is_taken_out() -> None:
    inbox = Inbox(sessions=1)
    ages: dict[int, float] = {1: 10.0, 2: 20.0, 3: 30.0}
    for tag, received in ages.items():
        inbox.put(
            mail(tag, Lane.BULK if tag == 1 else Lane.TRANSACTIONAL, received_seconds=received)
        )

    old: list[Any] = inbox.take_older_than(25.0)

    assert sorted(found.delivery.tag for found in old) == [1, 2]
    assert tags(inbox, 0, 2) == [3]


def test_a_mail_is_taken_ahead_in_its_order() -> None:
    inbox = Inbox(sessions=1)
    for tag in (1, 2, 3):
        inbox.put(mail(tag))

    ahead = [inbox.take_ahead(0, NOW_SECONDS) for _ in range(4)]

    assert [found and found.delivery.tag for found in ahead] == [1, 2, 3, None]


def test_taken_ahead_or_not_bulk_has_its_turn() -> None:
    inbox = Inbox(sessions=1)
    for tag in range(1, 34):
        inbox.put(mail(tag), mail(100 + tag, Lane.BULK))

    taken = [take(inbox, 0, NOW_SECONDS), *(inbox.take_ahead(0, NOW_SECONDS) for _ in range(32))]

    assert [found and found.delivery.tag for found in taken] == [*range(1, 32), 101, 32]


@pytest.mark.parametrize(
    ("waiting", "lane", "taken"),
    [
        (1, Lane.TRANSACTIONAL, False),
        (1, Lane.BULK, False),
        (0, Lane.TRANSACTIONAL, False),
        (0, Lane.BULK, True),
    ],
)
def test_nothing_is_taken_ahead_from_a_session_that_is_free(
    waiting: int, lane: Lane, taken: bool
) -> None:
    inbox = Inbox(sessions=3)
    found: list[Mail | None] = []
    free = threading.Thread(target=lambda: found.append(take(inbox, waiting, SOON_SECONDS)))
    free.start()
    wait_until(lambda: sum(inbox._idle.values()) == 1)

    with inbox._lock:
        # Under the lock the free session cannot take it first.
        inbox._lanes[lane].append(mail(1, lane))
    ahead = inbox.take_ahead(2, NOW_SECONDS)
    inbox.close()
    free.join(SOON_SECONDS)

    assert (ahead is not None) is taken


def test_a_mail_that_has_waited_long_is_not_taken_ahead() -> None:
    inbox = Inbox(sessions=1)
    inbox.put(mail(1, received_seconds=10.0))

    assert inbox.take_ahead(0, 10.1) is None
    assert inbox.take_ahead(0, 10.0) is not None


def test_of_a_closed_inbox_nothing_is_taken_ahead() -> None:
    inbox = Inbox(sessions=1)
    inbox.put(mail(1))
    inbox.close()

    assert inbox.take_ahead(0, NOW_SECONDS) is None
