"""Which dead letters are meant, and how they are counted."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from consumer.core.dead_letter import DeadLetter
from consumer.core.dead_letter_choice import Agreed, Choice, Groups
from publisher_lib.routing import Lane

NOW = datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC)
LETTER = DeadLetter(
    id="0123456789ab",
    message_id="m-1",
    login="webapp",
    signer="hopmail",
    is_trusted=True,
    reason="refused",
    detail={},
    lane=Lane.BULK,
    attempt=1,
    replayed=0,
    published_at=NOW - timedelta(days=2),
    died_at=NOW - timedelta(hours=2),
    recipients=("ada@example.org", "bob@example.com"),
    size=7,
)


@pytest.mark.parametrize(
    ("choice", "meant"),
    [
        ({}, True),
        ({"ids": {"m-1"}}, True),
        ({"ids": {"0123456789ab", "m-2"}}, True),
        ({"ids": {"m-2"}}, False),
        ({"reasons": {"refused"}}, True),
        ({"reasons": {"invalid"}}, False),
        ({"lanes": {Lane.BULK}}, True),
        ({"lanes": {Lane.TRANSACTIONAL}}, False),
        ({"domains": {"example.com"}}, True),
        ({"domains": {"example.net"}}, False),
        ({"logins": {"webapp"}}, True),
        ({"logins": {"hopmail"}}, False),
        ({"older_than": timedelta(hours=1)}, True),
        ({"older_than": timedelta(hours=3)}, False),
        ({"reasons": {"refused"}, "lanes": {Lane.TRANSACTIONAL}}, False),
    ],
)
def test_each_condition_narrows_it(choice: dict[str, Any], meant: bool) -> None:
    options: dict[str, Any] = {
        name: frozenset(value) if isinstance(value, set) else value
        for name, value in choice.items()
    }
    made = Choice(**options)

    assert made.means(LETTER, NOW) is meant
    assert made.is_open is (not choice)


def test_what_is_of_unknown_age_is_not_older_than_anything() -> None:
    unknown = replace(LETTER, died_at=None)

    assert not Choice(older_than=timedelta(seconds=1)).means(unknown, NOW)


def test_they_are_counted_by_what_is_asked_for() -> None:
    groups = Groups(("reason", "lane", "login", "age"))
    for letter in (
        LETTER,
        replace(LETTER, died_at=NOW - timedelta(hours=5)),
        replace(LETTER, login="", died_at=None),
        replace(LETTER, died_at=NOW - timedelta(minutes=5)),
        replace(LETTER, died_at=NOW - timedelta(days=2)),
        replace(LETTER, died_at=NOW - timedelta(days=50)),
    ):
        groups.add(letter, NOW)

    assert groups.counts == {
        ("refused", "bulk", "webapp", "under 1h"): 1,
        ("refused", "bulk", "webapp", "under 1d"): 2,
        ("refused", "bulk", "webapp", "under 7d"): 1,
        ("refused", "bulk", "webapp", "7d and more"): 1,
        ("refused", "bulk", "-", "unknown"): 1,
    }
    assert groups.oldest["refused", "bulk", "webapp", "under 1d"] == NOW - timedelta(hours=5)


def test_one_for_several_domains_counts_in_each() -> None:
    groups = Groups(("domain",))
    groups.add(LETTER, NOW)
    groups.add(replace(LETTER, recipients=()), NOW)

    assert groups.counts == {("example.com",): 1, ("example.org",): 1, ("-",): 1}


def test_so_many_are_taken_as_were_shown_and_none_that_differs() -> None:
    agreed = Agreed()
    agreed.add(LETTER)
    agreed.add(LETTER)

    for other in (
        replace(LETTER, id="another"),
        replace(LETTER, reason="in_doubt"),
        replace(LETTER, lane=Lane.TRANSACTIONAL),
        replace(LETTER, is_trusted=False),
    ):
        assert not agreed.take(other)
    assert [agreed.take(replace(LETTER, signer="another")) for _ in range(3)] == [True, True, False]
