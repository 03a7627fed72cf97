"""The ledger's rules, one by one and in random histories."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.disposition import Ack, DeadLetter, Disposition, Reason, Retry
from consumer.core.endings import settled, unsettled
from consumer.core.handled import Verdict
from consumer.core.ledger import (
    Claim,
    Ending,
    Entry,
    Generation,
    Key,
    Standing,
    State,
    Wanted,
    claim_of,
    fingerprint,
    standing,
)
from consumer.core.outcome import Accepted, Duplicate, InDoubt, Outcome, Refused, Reply, Stage

PRINT = b"p" * 16
OK = Reply(250, "2.0.0", "queued as 1")
NO = Reply(550, "5.1.1", "no such user")
FIRST, SECOND, REPLAY = Generation(0, 1), Generation(0, 2), Generation(1, 1)
STEP = timedelta(seconds=1)


def wanted(*recipients: str, generation: Generation = FIRST, mark: bytes = PRINT) -> Wanted:
    return Wanted(Key("webapp", "m-1"), generation, mark, recipients or ("a",))


def test_the_unknown_is_free() -> None:
    assert standing(None, FIRST) is Standing.FREE


@pytest.mark.parametrize(
    ("state", "asked", "expected"),
    [
        (State.OPEN, FIRST, Standing.STALE),
        (State.OPEN, SECOND, Standing.FREE),
        (State.OPEN, Generation(0, 3), Standing.FREE),
        (State.CLAIMED, FIRST, Standing.STALE),
        (State.CLAIMED, SECOND, Standing.WAIT),
        (State.CLAIMED, Generation(0, 3), Standing.WAIT),
        (State.DOUBTFUL, FIRST, Standing.STALE),
        (State.DOUBTFUL, SECOND, Standing.DOUBTFUL),
        (State.DOUBTFUL, Generation(0, 3), Standing.DOUBTFUL),
        *((State.ACCEPTED, asked, Standing.DONE) for asked in (FIRST, SECOND, REPLAY)),
        *((State.DEAD, asked, Standing.DEAD) for asked in (FIRST, SECOND, Generation(0, 3))),
        (State.DEAD, REPLAY, Standing.FREE),
        (State.HELD, SECOND, Standing.DEAD),
        (State.HELD, REPLAY, Standing.FREE),
    ],
)
def test_what_a_copy_may_do_where_the_second_one_stands(
    state: State, asked: Generation, expected: Standing
) -> None:
    assert standing(Entry(SECOND, state, PRINT), asked) is expected


def test_each_recipient_stands_for_itself() -> None:
    known = {
        "a": Entry(FIRST, State.ACCEPTED, PRINT),
        "b": Entry(FIRST, State.DOUBTFUL, PRINT),
        "c": Entry(SECOND, State.OPEN, PRINT),
        "e": Entry(FIRST, State.DEAD, PRINT),
    }

    claim = claim_of(wanted("a", "b", "c", "d", "e"), known)

    assert claim.granted == ("d",)
    assert claim.doubtful == ("b",)
    assert claim.held == ("d", "b")
    assert claim.skipped == {"a": Standing.DONE, "c": Standing.STALE, "e": Standing.DEAD}


def test_one_that_must_wait_keeps_all_waiting() -> None:
    claim = claim_of(wanted("a", "b"), {"a": Entry(FIRST, State.CLAIMED, PRINT)})

    assert claim.must_wait
    assert claim.held == ()


def test_another_body_for_another_recipient_is_a_conflict_all_the_same() -> None:
    claim = claim_of(wanted("b", mark=b"q" * 16), {"a": Entry(FIRST, State.ACCEPTED, PRINT)})

    assert claim.is_conflict
    assert claim.held == ()


def test_the_fingerprint_tells_bodies_and_ids_apart() -> None:
    prints = {fingerprint(*pair) for pair in [("a", b"1"), ("a", b"2"), ("b", b"1"), (None, b"1")]}

    assert len(prints) == 4
    assert {len(each) for each in prints} == {16}
    assert fingerprint("a", b"1") in prints


VERDICTS: list[tuple[Outcome, Disposition, Ending, Ending]] = [
    (
        Accepted(OK),
        Ack(),
        Ending(State.ACCEPTED, FIRST, str(OK)),
        Ending(State.ACCEPTED, FIRST, str(OK)),
    ),
    (
        Refused(Stage.RCPT, NO),
        DeadLetter(Reason.REFUSED),
        Ending(State.DEAD, FIRST),
        Ending(State.OPEN, FIRST),
    ),
    (
        Refused(Stage.RCPT, NO),
        Retry(STEP, 2),
        Ending(State.OPEN, SECOND),
        Ending(State.OPEN, FIRST),
    ),
    (
        InDoubt("lost"),
        Retry(STEP, 2),
        Ending(State.OPEN, SECOND),
        Ending(State.DOUBTFUL, FIRST, "lost"),
    ),
    (
        InDoubt("lost"),
        DeadLetter(Reason.IN_DOUBT),
        Ending(State.HELD, FIRST),
        Ending(State.DOUBTFUL, FIRST, "lost"),
    ),
]


@pytest.mark.parametrize(("outcome", "disposition", "after", "before"), VERDICTS)
def test_how_a_claim_ends_once_its_followups_are_on_the_broker_and_before(
    outcome: Outcome, disposition: Disposition, after: Ending, before: Ending
) -> None:
    claim = Claim(wanted("a", "b", "z"), ("a", "b"), skipped={"z": Standing.DONE})
    verdicts = (
        Verdict(("a", "b"), outcome, disposition),
        Verdict(("z",), Duplicate("settled before"), Ack()),
    )

    assert settled(claim, verdicts) == {"a": after, "b": after}
    assert unsettled(claim, verdicts) == {"a": before, "b": before}


def test_what_nothing_is_known_of_is_as_it_was() -> None:
    claim = Claim(wanted("a", "b"), granted=("a",), doubtful=("b",))

    assert unsettled(claim) == {
        "a": Ending(State.OPEN, FIRST),
        "b": Ending(State.DOUBTFUL, FIRST),
    }


FATES: dict[str, Callable[[Generation, Generation], Entry]] = {
    "accepted": lambda now, _onward: Entry(now, State.ACCEPTED, PRINT),
    "deferred": lambda _now, onward: Entry(onward, State.OPEN, PRINT),
    "deferred, died before the commit": lambda now, _onward: Entry(now, State.OPEN, PRINT),
    "doubtful": lambda _now, onward: Entry(onward, State.OPEN, PRINT),
    "died before the dot": lambda now, _onward: Entry(now, State.OPEN, PRINT),
    "died after the dot": lambda now, _onward: Entry(now, State.DOUBTFUL, PRINT),
}
SENT = {"accepted", "doubtful", "died after the dot"}
COPIED = {"deferred", "deferred, died before the commit", "doubtful"}


@given(st.data())
def test_whatever_happens_no_recipient_is_sent_to_twice_without_a_doubt(
    data: st.DataObject,
) -> None:
    """A broker that delivers any copy at any time, and workers that die at any point."""
    entry: Entry | None = None
    copies = {FIRST}
    sent = doubts = 0
    for _ in range(data.draw(st.integers(0, 12), "deliveries")):
        now = data.draw(st.sampled_from(sorted(copies)), "a copy")
        claim = claim_of(wanted(generation=now), {"a": entry} if entry else {})
        if not claim.held:
            continue
        fate = "deferred" if claim.doubtful else data.draw(st.sampled_from(sorted(FATES)), "fate")
        onward = Generation(now.epoch, now.attempt + 1)
        copies |= {onward} if fate in COPIED else set()
        sent += fate in SENT
        doubts += fate == "doubtful" or bool(claim.doubtful)
        entry = FATES[fate](now, onward)

        assert sent <= 1 + doubts + (entry.state is State.DOUBTFUL)
