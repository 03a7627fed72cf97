"""A message's traces put together, login by login."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from consumer.core.delivery import Delivery, Properties
from consumer.core.found import BY_RABBITMQ, DeadSeen, Holder, Known, KnownRecipient, Line
from consumer.core.found import dead_seen as read_dead
from consumer.core.ledger import Generation, Key, State
from consumer.core.places import Looked
from consumer.core.story import Story, made_at, story
from publisher_lib.message_id import new_message_id
from publisher_lib.routing import Lane

NOW = datetime(2026, 11, 28, 22, 0, tzinfo=UTC)
LOOKED = Looked(NOW, dead_letters=True, shortest_delay=timedelta(seconds=30))
ACCEPTED = Line(
    NOW,
    "handled",
    "vm-0",
    {"outcome": "accepted", "disposition": "ack", "latency_seconds": 1.5, "app_id": "shop"},
)


def known(login: str) -> Known:
    recipient = KnownRecipient("a@x.org", Generation(0, 1), State.ACCEPTED, Holder.NOBODY)
    return Known(Key(login, "m-1"), b"p" * 16, (recipient,))


def dead(login: str, **headers: Any) -> DeadSeen:
    told = {"x-hopmail-reason": "refused", "x-hopmail-login": login, **headers}
    return seen(Properties(message_id="m-1", user_id="hopmail", app_id="shop", headers=told))


def seen(properties: Properties) -> DeadSeen:
    delivery = Delivery(
        Lane.BULK, 1, 0, redelivered=False, properties=properties, body=b"", received_seconds=0.0
    )
    return read_dead(delivery, frozenset({"hopmail"}), NOW)


def tell(message_id: str = "m-1", **traces: Any) -> Story:
    given: dict[str, Any] = {"known": (), "dead": (), "lines": ()}
    return story(message_id, **(given | traces), looked=LOOKED)


def test_each_login_has_its_part() -> None:
    found = tell(known=(known("b"), known("")), dead=(dead("a"),), lines=(ACCEPTED,))

    assert [part.login for part in found.parts] == ["", "a", "b"]
    assert [len(part.dead) for part in found.parts] == [0, 1, 0]
    assert found.is_ambiguous


def test_a_login_narrows_to_its_own() -> None:
    found = tell(known=(known("a"), known("b")), dead=(dead("a"),), login="a")

    assert [part.login for part in found.parts] == ["a"]
    assert not tell(known=(known("a"),), login="c").is_found


def test_a_line_alone_is_found_and_tells_no_login() -> None:
    found = tell(lines=(ACCEPTED,))

    (part,) = found.parts
    assert (part.login, part.app_ids, found.is_ambiguous) == (None, ("shop",), False)
    assert part.published is not None
    assert part.published.at == NOW - timedelta(seconds=1.5)
    assert not part.published.is_certain


def test_lines_beside_a_login_that_was_asked_for_tell_nothing_of_it() -> None:
    (part,) = tell(lines=(ACCEPTED,), login="a").parts

    assert (part.login, part.places, part.published) == ("a", (), None)


def test_nothing_is_found_of_nothing() -> None:
    assert not tell().is_found


def test_a_dead_letter_s_header_tells_when_it_was_published() -> None:
    published = NOW - timedelta(hours=1)
    milliseconds = int(published.timestamp() * 1000)
    letter = dead("a", **{"x-hopmail-first-published-ms": milliseconds})

    (part,) = tell(dead=(letter,), lines=(ACCEPTED,)).parts

    assert part.published is not None
    assert (part.published.at, part.published.is_certain) == (published, True)


def test_it_is_told_how_often_a_person_had_it_sent_again_by_whatever_tells_it() -> None:
    last = NOW - timedelta(minutes=5)
    at = {"x-hopmail-replayed-at-ms": int(last.timestamp() * 1000)}
    letter = dead("a", **{"x-hopmail-replayed": 2, **at})
    line = Line(NOW, "handled", "vm-0", {**ACCEPTED.fields, "replayed": 3})
    entry = replace(known("a").recipients[0], generation=Generation(1, 1))

    def told(**traces: Any) -> tuple[int, datetime | None]:
        (part,) = tell(**traces).parts
        return part.replayed, part.replayed_at

    assert told(dead=(letter,)) == (2, last)
    assert told(dead=(letter,), lines=(line,)) == (3, last)
    assert told(known=(replace(known("a"), recipients=(entry,)),)) == (1, None)
    assert told(known=(known("a"),), lines=(ACCEPTED,)) == (0, None)


def test_the_latency_of_what_was_sent_again_does_not_tell_when_it_was_published() -> None:
    again = Line(NOW, "handled", "vm-0", {**ACCEPTED.fields, "replayed": 1})

    (part,) = tell(lines=(again,)).parts
    assert part.published is None
    (part,) = tell(lines=(ACCEPTED, again)).parts
    assert part.published is not None
    assert part.published.at == NOW - timedelta(seconds=1.5)


def test_an_id_that_has_a_time_tells_it() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    message_id = new_message_id()

    (part,) = tell(message_id, known=(known("a"),)).parts

    assert part.published is not None
    assert before <= part.published.at <= datetime.now(UTC)
    assert not part.published.is_certain


@pytest.mark.parametrize(
    "message_id",
    ["m-1", "", "0d3a1b7e-8f0a-4b1c-9d2e-3f4a5b6c7d8e", "ffffffff-ffff-7fff-bfff-ffffffffffff"],
)
def test_other_ids_tell_no_time(message_id: str) -> None:
    assert made_at(message_id) is None


def test_what_rabbitmq_or_a_stranger_put_there_is_read_with_care() -> None:
    by_broker = seen(Properties(user_id="shop"))
    assert (by_broker.login, by_broker.reason) == ("shop", BY_RABBITMQ)
    assert (by_broker.published, by_broker.pending) == (None, None)

    strange = {
        "x-hopmail-reason": "x" * 999,
        "x-hopmail-detail": "[1]",
        "x-hopmail-last-attempt-ms": 2**62,
        "x-hopmail-pending": ["a@x.org"],
    }
    by_stranger = seen(Properties(user_id="shop", headers=strange))
    assert not by_stranger.is_believed
    assert (len(by_stranger.reason), by_stranger.detail, by_stranger.last_attempt) == (
        200,
        {},
        None,
    )
    assert by_stranger.pending == ("a@x.org",)
    no_json = seen(Properties(user_id="shop", headers=strange | {"x-hopmail-detail": "{"}))
    assert no_json.detail == {}


def test_a_dead_letter_tells_when_it_was_tried_last() -> None:
    moment = int(NOW.timestamp() * 1000)

    assert dead("a", **{"x-hopmail-last-attempt-ms": moment}).last_attempt == NOW


def test_a_latency_that_cannot_be_tells_nothing() -> None:
    strange = Line(NOW, "handled", "vm-0", {**ACCEPTED.fields, "latency_seconds": "1.5"})

    (part,) = tell(lines=(strange,)).parts
    assert part.published is None
