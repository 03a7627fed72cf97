"""The failure table of the README, and what must hold for every outcome."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.decide import RetryPolicy, decide
from consumer.core.disposition import Ack, DeadLetter, Disposition, Pause, Reason, Retry
from consumer.core.outcome import (
    Accepted,
    Crashed,
    Defect,
    Expired,
    InDoubt,
    NotDue,
    Outcome,
    Refused,
    Reply,
    Stage,
    Undecodable,
    Unreachable,
)

SHORT, LONG = timedelta(seconds=30), timedelta(minutes=2)
POLICY = RetryPolicy(delays=(SHORT, LONG), max_age=timedelta(days=5))
FRESH = timedelta(seconds=1)
OLD = timedelta(days=6)

TRANSIENT = Reply(451, "4.7.1", "try again")
PERMANENT = Reply(550, "5.1.1", "no such user")


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Accepted(Reply(250)), Ack()),
        (Undecodable(Defect.INVALID), DeadLetter(Reason.INVALID)),
        (Crashed("KeyError in compose:1"), DeadLetter(Reason.INTERNAL_ERROR)),
        (Expired(datetime(2026, 1, 1, tzinfo=UTC)), DeadLetter(Reason.EXPIRED)),
        (NotDue(timedelta(hours=1)), Retry(LONG, attempt=1)),
        (NotDue(timedelta(seconds=45)), Retry(SHORT, attempt=1)),
        (NotDue(timedelta(seconds=1)), Retry(SHORT, attempt=1)),
        (Refused(Stage.RCPT, PERMANENT), DeadLetter(Reason.REFUSED)),
        (Refused(Stage.END_OF_DATA, PERMANENT), DeadLetter(Reason.REFUSED)),
        (Refused(Stage.RCPT, TRANSIENT), Retry(SHORT, attempt=2)),
        (Refused(Stage.MAIL, Reply(421)), Retry(SHORT, attempt=2)),
        (Unreachable(Stage.CONNECT, "connection refused"), Pause()),
        (Unreachable(Stage.AUTH, "refused", Reply(535)), Pause()),
        (Unreachable(Stage.DATA, "connection lost"), Retry(SHORT, attempt=2)),
        (InDoubt("connection lost after the dot"), Retry(SHORT, attempt=2)),
    ],
    ids=str,
)
def test_a_first_attempt_ends_as_the_table_says(outcome: Outcome, expected: Disposition) -> None:
    disposition = decide(outcome, 1, FRESH, POLICY)

    assert expected == disposition


@pytest.mark.parametrize("defect", list(Defect))
def test_every_defect_has_a_reason_of_its_own_name(defect: Defect) -> None:
    disposition = decide(Undecodable(defect), 1, FRESH, POLICY)

    assert DeadLetter(Reason(defect.value)) == disposition


def test_each_retry_waits_for_the_next_step_of_the_ladder() -> None:
    second = decide(Refused(Stage.RCPT, TRANSIENT), 2, FRESH, POLICY)

    assert Retry(LONG, attempt=3) == second


def test_after_the_last_step_the_message_is_dead_lettered() -> None:
    last = decide(Refused(Stage.RCPT, TRANSIENT), 3, FRESH, POLICY)

    assert DeadLetter(Reason.ATTEMPTS_EXHAUSTED) == last


def test_a_message_past_its_age_is_not_tried_again() -> None:
    disposition = decide(Refused(Stage.RCPT, TRANSIENT), 1, OLD, POLICY)

    assert DeadLetter(Reason.TOO_OLD) == disposition


@pytest.mark.parametrize(("attempt", "age"), [(3, FRESH), (1, OLD)])
def test_giving_up_in_doubt_says_so_because_it_may_have_been_sent(
    attempt: int, age: timedelta
) -> None:
    disposition = decide(InDoubt("no reply"), attempt, age, POLICY)

    assert DeadLetter(Reason.IN_DOUBT) == disposition


def test_if_uncertain_hold_keeps_what_is_in_doubt_for_a_person() -> None:
    disposition = decide(InDoubt("no reply"), 1, FRESH, POLICY, hold_if_uncertain=True)

    assert DeadLetter(Reason.IN_DOUBT) == disposition


def test_the_relays_own_trouble_never_spends_an_attempt_nor_dead_letters() -> None:
    dispositions = {
        decide(Unreachable(stage, "trouble"), attempt=99, age=OLD, policy=POLICY)
        for stage in Stage
        if stage.is_before_mail
    }

    assert {Pause()} == dispositions


replies = st.builds(Reply, st.integers(400, 599), st.just(""), st.text(max_size=20))
outcomes = st.one_of(
    st.builds(Accepted, replies),
    st.builds(Undecodable, st.sampled_from(Defect)),
    st.builds(Crashed, st.text(max_size=5)),
    st.builds(Expired, st.just(datetime(2026, 1, 1, tzinfo=UTC))),
    st.builds(NotDue, st.timedeltas(timedelta(seconds=1), timedelta(days=30))),
    st.builds(Refused, st.sampled_from(Stage), replies),
    st.builds(Unreachable, st.sampled_from(Stage), st.text(max_size=5)),
    st.builds(InDoubt, st.text(max_size=5)),
)
ages = st.timedeltas(timedelta(0), timedelta(days=30))


@given(outcomes, st.integers(1, 20), ages, st.booleans())
def test_only_what_was_accepted_is_acked_and_every_wait_has_a_queue(
    outcome: Outcome, attempt: int, age: timedelta, hold: bool
) -> None:
    disposition = decide(outcome, attempt, age, POLICY, hold_if_uncertain=hold)

    assert isinstance(outcome, Accepted) == isinstance(disposition, Ack)
    if isinstance(disposition, Retry):
        assert disposition.delay in POLICY.delays


@given(st.lists(st.timedeltas(timedelta(seconds=1), timedelta(days=1)), min_size=1, unique=True))
def test_repeated_refusals_end_after_exactly_the_ladders_length(
    delays: list[timedelta],
) -> None:
    policy = RetryPolicy(tuple(sorted(delays)), timedelta(days=5))
    attempt, waits = 1, []

    while isinstance(step := decide(Refused(Stage.MAIL, TRANSIENT), attempt, FRESH, policy), Retry):
        waits.append(step.delay)
        attempt = step.attempt

    assert sorted(delays) == waits
    assert DeadLetter(Reason.ATTEMPTS_EXHAUSTED) == step


def test_a_relay_that_takes_our_login_and_still_wants_one_refuses_the_mail() -> None:
    wanted = Unreachable(Stage.AUTH, "log in first", Reply(530))

    assert decide(wanted, 1, FRESH, POLICY) == Pause()
    assert decide(wanted, 1, FRESH, POLICY, is_login_proven=True) == Retry(POLICY.delays[0], 2)
    assert (
        decide(Unreachable(Stage.CONNECT, "refused"), 1, FRESH, POLICY, is_login_proven=True)
        == Pause()
    )
