"""A message's copy in another queue is believed exactly as far as the message was."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from consumer.core.delivery import Delivery, Properties
from consumer.core.migration import (
    Copy,
    copied,
    former_names,
    given_up,
    pair,
    pairs,
    shortened,
    undecodable,
    untrusted,
)
from consumer.core.outcome import Defect, Undecodable
from consumer.core.topology import topology
from consumer.core.trail import read_trail
from publisher_lib.routing import Lane

TODAY = topology((timedelta(seconds=30),))
DEAD, LANE = TODAY.queues[0], TODAY.queues[1]
NOW = datetime(2026, 11, 1, tzinfo=UTC)
PUBLISHED_MS = int(datetime(2026, 10, 31, tzinfo=UTC).timestamp() * 1000)
US = "hopmail"
TRUSTED = frozenset({US, "operator"})

RETRIED = {
    "x-hopmail-attempt": 3,
    "x-hopmail-first-published-ms": PUBLISHED_MS,
    "x-hopmail-login": "shop",
    "x-hopmail-pending": ["ada@example.org"],
}


def delivery(headers: Mapping[str, Any], user_id: str | None, undecodable: str = "") -> Delivery:
    properties = Properties(
        message_id="m-1", user_id=user_id, headers=headers, undecodable=undecodable
    )
    return Delivery(
        Lane.BULK,
        1,
        0,
        redelivered=False,
        properties=properties,
        body=b"{}",
        received_seconds=time.monotonic(),
    )


def copy(headers: Mapping[str, Any], user_id: str | None) -> Copy:
    return copied(delivery(headers, user_id), LANE, US, TRUSTED, NOW)


def trail_of(found: Copy) -> object:
    properties = Properties(user_id=found.user_id, headers=found.headers)
    return read_trail(properties, TRUSTED, NOW)


@pytest.mark.parametrize(
    ("queue", "names"),
    [
        ("email.bulk.v0", ("email.bulk",)),
        ("email.bulk.v1", ("email.bulk", "email.bulk.v0")),
        ("email.bulk.v3", ("email.bulk", "email.bulk.v0", "email.bulk.v1", "email.bulk.v2")),
        ("of-another-kind", ()),
    ],
)
def test_a_version_follows_all_before_it(queue: str, names: tuple[str, ...]) -> None:
    assert former_names(queue) == names


def test_each_queue_of_today_is_looked_for_under_its_earlier_names() -> None:
    assert [(each.old, each.new.name) for each in pairs(TODAY)] == [
        (old, queue.name) for queue in TODAY.queues for old in former_names(queue.name)
    ]


def test_where_a_named_queue_goes_is_found_out_or_said() -> None:
    assert pair(TODAY, "email.bulk.v0", None).new.name == "email.bulk.v1"
    assert pair(TODAY, "old-mail", "email.bulk.v1").new.name == "email.bulk.v1"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("old-mail", None, "say where old-mail is to be moved: email.dead.v1, "),
        ("old-mail", "new-mail", "new-mail is none of email.dead.v1, "),
        ("email.bulk.v1", "email.bulk.v1", "to itself"),
    ],
)
def test_what_cannot_be_meant_is_refused(old: str, new: str | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        pair(TODAY, old, new)


@pytest.mark.parametrize("user_id", [None, US])
def test_what_nobody_or_we_signed_stays_as_it_was(user_id: str | None) -> None:
    headers = {**RETRIED, "traceparent": "00-1", "of-the-app": [1, {"a": None}]}

    assert copy(headers, user_id) == Copy(headers, user_id)


def test_what_an_app_signed_is_signed_by_us_and_still_the_apps() -> None:
    headers = {"x-published-at-ms": PUBLISHED_MS, "of-the-app": 7}

    found = copy(headers, "shop")

    assert found.user_id == US
    assert headers.items() <= found.headers.items()
    assert trail_of(found) == read_trail(Properties(user_id="shop", headers=headers), TRUSTED, NOW)


def test_what_an_operator_signed_keeps_its_trail() -> None:
    headers = {**RETRIED, "x-hopmail-reason": "refused", "x-hopmail-epoch": 2}

    found = copy(headers, "operator")

    assert (found.user_id, found.headers) == (US, headers)


def test_a_word_of_an_app_in_our_name_is_not_made_ours() -> None:
    found = copy({"x-hopmail-reason": "in_doubt", "x-hopmail-replayed": 9}, "shop")

    assert "x-hopmail-reason" not in found.headers
    assert "x-hopmail-replayed" not in found.headers


def test_counts_of_the_old_queue_and_further_addressees_are_left_behind() -> None:
    headers = {"x-delivery-count": 4, "x-acquired-count": 4, "CC": ["bulk"], "BCC": ["bulk"]}

    assert copy({**headers, "kept": 1}, US).headers == {"kept": 1}


def test_why_rabbitmq_gave_a_message_up_goes_with_it_to_the_dead_letters_only() -> None:
    headers = {"x-death": [{"reason": "expired"}], "x-first-death-reason": "expired"}

    assert copy(headers, US).headers == {}
    assert copied(delivery(headers, US), DEAD, US, TRUSTED, NOW).headers == headers


def test_what_cannot_be_written_again_keeps_what_we_read() -> None:
    headers = {"x-published-at-ms": PUBLISHED_MS, "traceparent": "00-1", "of-the-app": "x" * 70_000}

    found = shortened(delivery(headers, "shop"), US, TRUSTED, NOW)

    assert "of-the-app" not in found.headers
    assert (found.user_id, found.headers["traceparent"]) == (US, "00-1")
    assert trail_of(found) == read_trail(Properties(user_id="shop", headers=headers), TRUSTED, NOW)


def test_a_copy_signed_by_a_stranger_is_given_up_with_its_trail_and_unsigned() -> None:
    stranger = delivery(RETRIED, "former")
    defect = untrusted(stranger, LANE, TRUSTED)
    assert defect is not None

    letter = given_up(stranger, defect, TRUSTED, NOW)

    assert (letter.exchange, letter.is_signed) == ("email.dead", False)
    assert letter.headers["x-hopmail-reason"] == "untrusted_headers"
    assert letter.headers["x-hopmail-login"] == "shop"
    assert letter.headers["x-hopmail-pending"] == ["ada@example.org"]


@pytest.mark.parametrize("user_id", [US, "operator"])
def test_a_copy_that_we_believe_is_not_untrusted(user_id: str) -> None:
    assert untrusted(delivery(RETRIED, user_id), LANE, TRUSTED) is None


def test_an_unsigned_dead_letter_stays_one_as_it_is() -> None:
    letter = delivery({**RETRIED, "x-hopmail-reason": "untrusted_headers"}, None)

    assert untrusted(letter, DEAD, TRUSTED) is None
    assert untrusted(letter, LANE, TRUSTED) is not None
    assert copied(letter, DEAD, US, TRUSTED, NOW) == Copy(letter.properties.headers, None)


def test_what_cannot_be_read_is_given_up_for_that() -> None:
    broken = delivery({}, "shop", undecodable="the header table cannot be decoded")
    defect = undecodable(broken)
    assert isinstance(defect, Undecodable)
    assert defect.defect is Defect.UNDECODABLE_PROPERTIES

    letter = given_up(broken, defect, TRUSTED, NOW)

    assert letter.is_signed
    assert letter.headers["x-hopmail-reason"] == "undecodable_properties"
    assert letter.headers["x-hopmail-login"] == "shop"
    assert "header table" in letter.headers["x-hopmail-detail"]


def test_what_can_be_read_has_no_defect() -> None:
    assert undecodable(delivery({}, None)) is None
