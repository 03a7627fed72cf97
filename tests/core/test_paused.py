"""A pause as it is kept, and whether a host is drained."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from consumer.core.drained import Hands, awaited
from consumer.core.paused import LONGEST_REASON, Paused, check_reason, paused_json, read_paused

PAUSED = Paused("ada@mail-a", "the relay's owner asks", datetime(2026, 11, 28, 12, tzinfo=UTC))


def test_it_is_read_as_it_was_written() -> None:
    assert read_paused(paused_json(PAUSED)) == PAUSED


@pytest.mark.parametrize(
    "found",
    [
        None,
        "bulk",
        {},
        paused_json(PAUSED) | {"reason": ""},
        paused_json(PAUSED) | {"by": 1},
        paused_json(PAUSED) | {"by": "a\nb"},
        paused_json(PAUSED) | {"since": "2026-11-28T12:00:00"},
        paused_json(PAUSED) | {"since": 1},
    ],
)
def test_anything_else_is_refused(found: Any) -> None:
    with pytest.raises(ValueError, match=r"a pause|a reason|Invalid isoformat"):
        read_paused(found)


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "x" * (LONGEST_REASON + 1)])
def test_a_reason_says_something_on_one_line(reason: str) -> None:
    with pytest.raises(ValueError, match="1 to 200 characters, on one line"):
        check_reason(reason)


@pytest.mark.parametrize(
    ("hands", "told"),
    [
        ([], ""),
        ([Hands("a-0", 0, has_obeyed=True)], ""),
        ([Hands("a-0", 1, has_obeyed=True)], "1 mail is in hands"),
        (
            [Hands("a-0", 2, has_obeyed=True), Hands("a-1", 1, has_obeyed=False)],
            "3 mails are in hands; not yet heard of a-1",
        ),
        ([Hands("a-0", 0, has_obeyed=False)], "not yet heard of a-0"),
    ],
)
def test_what_is_awaited_is_told(hands: list[Hands], told: str) -> None:
    assert awaited(hands) == told


def test_a_time_zone_of_another_place_is_kept() -> None:
    since = PAUSED.since.astimezone(tz=None) + timedelta(seconds=1)
    assert read_paused(paused_json(Paused("a", "b", since))).since == since
