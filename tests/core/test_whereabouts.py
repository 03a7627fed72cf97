"""Where a mail is, from its traces: what is known, and what is inferred."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from consumer.core.found import DeadSeen, Holder, Known, KnownRecipient, Line
from consumer.core.ledger import Generation, Key, State
from consumer.core.places import Looked, Place, Whereabouts
from consumer.core.whereabouts import whereabouts

NOW = datetime(2026, 11, 28, 22, 0, tzinfo=UTC)
LOOKED = Looked(NOW, dead_letters=True, shortest_delay=timedelta(seconds=30))
BLIND = Looked(NOW, dead_letters=False, shortest_delay=timedelta(seconds=30))


def known(
    state: State, holder: Holder = Holder.NOBODY, *names: str, attempt: int = 1, note: str = ""
) -> Known:
    recipients = tuple(
        KnownRecipient(name, Generation(0, attempt), state, holder, note)
        for name in names or ("a@x.org",)
    )
    return Known(Key("app", "m-1"), b"p" * 16, recipients)


def dead(*pending: str, reason: str = "refused", is_believed: bool = True) -> DeadSeen:
    return DeadSeen(
        "app", is_believed, reason, {}, 1, "transactional", "", None, None, pending or None
    )


def handled(disposition: str, seconds_ago: float = 10, **fields: Any) -> Line:
    told = {"attempt": 1, "recipients": 1, "outcome": "refused", "disposition": disposition}
    at = NOW - timedelta(seconds=seconds_ago)
    return Line(at, "handled", "vm-0", told | fields)


def told(found: tuple[Whereabouts, ...]) -> list[tuple[Place, bool, int]]:
    return [(each.place, each.is_certain, each.count) for each in found]


@pytest.mark.parametrize(
    ("state", "holder", "place", "is_certain", "words"),
    [
        (State.ACCEPTED, Holder.NOBODY, Place.ACCEPTED, True, "accepted by the relay"),
        (State.ACCEPTED, Holder.LIVING, Place.ACCEPTED, True, "accepted by the relay"),
        (State.DOUBTFUL, Holder.LIVING, Place.IN_HANDS, True, "final dot is due or out"),
        (State.OPEN, Holder.LIVING, Place.IN_HANDS, True, "final dot is not out"),
        (State.DOUBTFUL, Holder.ENDED, Place.IN_DOUBT, False, "in doubt"),
        (State.DOUBTFUL, Holder.NOBODY, Place.IN_DOUBT, False, "in doubt"),
        (State.OPEN, Holder.ENDED, Place.WAITS, False, "surely not sent"),
        (State.OPEN, Holder.NOBODY, Place.WAITS, False, "a retry queue or in its lane"),
        (State.DEAD, Holder.NOBODY, Place.FORMER_DEAD_LETTER, False, "there no more"),
        (State.HELD, Holder.NOBODY, Place.FORMER_DEAD_LETTER, False, "there no more"),
    ],
)
def test_the_ledger_tells_of_each_state(
    state: State, holder: Holder, place: Place, is_certain: bool, words: str
) -> None:
    (found,) = whereabouts(known(state, holder), (), (), LOOKED)

    assert (found.place, found.is_certain, found.names) == (place, is_certain, ("a@x.org",))
    assert words in found.text


def test_a_dead_letter_is_where_it_was_seen_whatever_the_ledger_says() -> None:
    entry = known(State.HELD, Holder.NOBODY, "a@x.org", "b@x.org")

    found = whereabouts(entry, (dead("b@x.org", reason="in_doubt"),), (), LOOKED)

    assert told(found) == [
        (Place.DEAD_LETTER, True, 1),
        (Place.FORMER_DEAD_LETTER, False, 1),
    ]
    assert found[0].said == "in_doubt"
    assert told(whereabouts(entry, (dead(),), (), LOOKED)) == [(Place.DEAD_LETTER, True, 0)]


def test_of_a_queue_that_was_not_seen_nothing_is_claimed() -> None:
    (found,) = whereabouts(known(State.DEAD), (), (), BLIND)

    assert (found.place, found.is_certain) == (Place.DEAD_LETTER, False)
    assert "could not be seen" in found.text


def test_what_is_accepted_and_still_a_dead_letter_is_told_of_both() -> None:
    found = whereabouts(known(State.ACCEPTED), (dead("a@x.org"),), (), LOOKED)

    assert told(found) == [(Place.DEAD_LETTER, True, 1), (Place.ACCEPTED, True, 1)]


def test_headers_that_nobody_vouches_for_are_told_as_such() -> None:
    (found,) = whereabouts(None, (dead("a@x.org", is_believed=False),), (), LOOKED)

    assert "nobody vouches for" in found.text


def test_a_retry_waits_until_its_delay_has_passed() -> None:
    entry, line = known(State.OPEN, attempt=2), handled("retry", delay_seconds=30.0)

    (found,) = whereabouts(entry, (), (line,), LOOKED)

    assert (found.text, found.until) == ("waits for attempt 2", NOW + timedelta(seconds=20))
    assert not found.is_certain


def test_of_two_retries_to_one_attempt_the_later_one_counts() -> None:
    earlier = handled("retry", seconds_ago=25, delay_seconds=30.0)
    later = handled("retry", seconds_ago=10, delay_seconds=30.0, replayed=1)

    (found,) = whereabouts(known(State.OPEN, attempt=2), (), (earlier, later), LOOKED)

    assert found.until == NOW + timedelta(seconds=20)


def test_a_retry_whose_delay_has_passed_waits_in_its_lane() -> None:
    line = handled("retry", seconds_ago=40, delay_seconds=30.0)

    (found,) = whereabouts(known(State.OPEN, attempt=2), (), (line,), LOOKED)

    assert found.text == "back in its lane for attempt 2: waits for a consumer"
    assert found.until == NOW - timedelta(seconds=10)


def test_a_line_of_another_attempt_tells_nothing_of_this_one() -> None:
    line = handled("retry", delay_seconds=30.0)

    (found,) = whereabouts(known(State.OPEN, attempt=3), (), (line,), LOOKED)

    assert found.until is None


def test_what_is_not_due_waits_without_an_attempt() -> None:
    line = handled("retry", outcome="not_due", delay_seconds=30.0)

    (found,) = whereabouts(None, (), (line,), LOOKED)

    assert (found.text, found.until) == ("waits as it is not due yet", NOW + timedelta(seconds=20))


def test_without_a_ledger_the_log_tells_each_recipient_s_end() -> None:
    first = handled(
        "retry",
        30,
        verdicts=[
            {"outcome": "accepted", "disposition": "ack", "code": 250, "recipients": 2},
            {"outcome": "refused", "disposition": "retry", "delay_seconds": 1, "recipients": 1},
            {"outcome": "refused", "disposition": "dead_letter", "recipients": 3},
        ],
    )
    second = handled("ack", outcome="accepted", attempt=2, code=250)

    assert told(whereabouts(None, (), (first, second), LOOKED)) == [
        (Place.ACCEPTED, True, 3),
        (Place.FORMER_DEAD_LETTER, False, 3),
    ]
    assert told(whereabouts(None, (), (first,), BLIND)) == [
        (Place.ACCEPTED, True, 2),
        (Place.WAITS, False, 1),
        (Place.DEAD_LETTER, False, 3),
    ]


def test_without_a_ledger_a_replay_takes_the_place_of_the_death_before_it() -> None:
    died = handled("dead_letter", 30)
    accepted = handled("ack", outcome="accepted", replayed=1)

    assert told(whereabouts(None, (), (died, accepted), LOOKED)) == [(Place.ACCEPTED, True, 1)]
    again = handled("dead_letter", replayed=1)
    found = whereabouts(None, (), (died, again), LOOKED)
    assert told(found) == [(Place.FORMER_DEAD_LETTER, False, 1)]


@pytest.mark.parametrize(
    ("line", "place"),
    [
        (handled("ack", outcome="duplicate"), Place.SETTLED),
        (handled("pause", outcome="unreachable"), Place.WAITS),
        (Line(NOW, "received", "vm-0", {}), Place.UNKNOWN),
        (handled("ack", outcome=7, recipients="many", verdicts=[{}, 1]), Place.WAITS),
    ],
)
def test_without_a_ledger_the_last_line_tells_where_it_is(line: Line, place: Place) -> None:
    (found,) = whereabouts(None, (), (line,), LOOKED)

    assert found.place is place


def test_what_was_set_aside_comes_back_after_the_shortest_delay() -> None:
    aside = Line(NOW, "waits for another process", "vm-0", {})

    (found,) = whereabouts(None, (), (handled("pause"), aside), LOOKED)

    assert (found.place, found.until) == (Place.WAITS, NOW + timedelta(seconds=30))


def test_nothing_tells_nothing() -> None:
    assert whereabouts(None, (), (), LOOKED) == ()
