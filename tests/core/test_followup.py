"""What must be on the broker before the ack."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from consumer.core.delivery import Delivery, Properties
from consumer.core.disposition import Ack, DeadLetter, Pause, Reason, Retry
from consumer.core.followup import aside, back_to_lane, detail_of, followups, sent_again
from consumer.core.handled import Followup, Verdict
from consumer.core.outcome import (
    Accepted,
    Barred,
    Conflict,
    Crashed,
    Defect,
    Duplicate,
    Expired,
    Forgotten,
    InDoubt,
    NotDue,
    Outcome,
    Poisonous,
    Refused,
    Reply,
    Stage,
    Undecodable,
    Unreachable,
    Violation,
)
from consumer.core.trail import Trail
from publisher_lib.routing import Lane

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
FIRST = NOW - timedelta(minutes=1)
TRAIL = Trail(attempt=1, first_published=FIRST, pending=None, login="webapp")
RETRY = Retry(timedelta(seconds=30), attempt=2)
DEFERRED = Refused(Stage.RCPT, Reply(451, "4.7.1", "later"))
REFUSED = Refused(Stage.RCPT, Reply(550, "5.1.1", "no such user"))


def delivery(headers: dict[str, Any] | None = None) -> Delivery:
    return Delivery(
        lane=Lane.TRANSACTIONAL,
        tag=1,
        generation=1,
        redelivered=False,
        properties=Properties(message_id="m1", headers=headers or {}),
        body=b"{}",
        received_seconds=0.0,
    )


def test_what_is_accepted_or_paused_leaves_nothing_behind() -> None:
    verdicts = [
        Verdict(("a@example.org",), Accepted(Reply(250)), Ack()),
        Verdict(("b@example.org",), Unreachable(Stage.CONNECT, "refused"), Pause()),
    ]

    assert followups(delivery(), TRAIL, verdicts, NOW) == ()


def test_set_aside_it_comes_back_as_the_same_copy_of_itself() -> None:
    trail = replace(TRAIL, attempt=3, pending=("a@example.org",), epoch=1)

    followup = aside(delivery(), trail, timedelta(seconds=30))

    assert followup == Followup(
        "email.retry", "transactional.30s", back_to_lane(delivery(), trail).headers
    )


def test_recipients_that_wait_equally_long_share_one_copy() -> None:
    verdicts = [
        Verdict(("a@example.org",), DEFERRED, RETRY),
        Verdict(("b@example.org",), InDoubt("no reply"), RETRY),
    ]

    (copy,) = followups(delivery(), TRAIL, verdicts, NOW)

    assert (copy.exchange, copy.routing_key) == ("email.retry", "transactional.30s")
    assert copy.headers["x-hopmail-attempt"] == 2
    assert copy.headers["x-hopmail-pending"] == ["a@example.org", "b@example.org"]
    assert copy.headers["x-hopmail-login"] == "webapp"


def test_each_recipient_is_settled_by_itself() -> None:
    verdicts = [
        Verdict(("ok@example.org",), Accepted(Reply(250)), Ack()),
        Verdict(("no@example.org",), REFUSED, DeadLetter(Reason.REFUSED)),
        Verdict(("later@example.org",), DEFERRED, RETRY),
    ]

    dead, retry = followups(delivery(), TRAIL, verdicts, NOW)

    assert dead.headers["x-hopmail-pending"] == ["no@example.org"]
    assert retry.headers["x-hopmail-pending"] == ["later@example.org"]


def test_recipients_refused_for_the_same_cause_share_one_dead_letter() -> None:
    names = [f"user{n}@example.org" for n in range(100)]
    verdicts = [
        Verdict((name,), refused(f"no such user: {name}"), DeadLetter(Reason.REFUSED))
        for name in names
    ]

    (dead,) = followups(delivery(), TRAIL, verdicts, NOW)

    assert dead.headers["x-hopmail-pending"] == names
    assert json.loads(dead.headers["x-hopmail-detail"])["text"] == f"no such user: {names[0]}"


def refused(
    text: str, *, stage: Stage = Stage.RCPT, code: int = 550, enhanced: str = "5.1.1"
) -> Refused:
    return Refused(stage, Reply(code, enhanced, text))


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (refused("a", stage=Stage.END_OF_DATA), Reason.REFUSED),
        (refused("a", code=553), Reason.REFUSED),
        (refused("a", enhanced="5.7.1"), Reason.REFUSED),
        (refused("a"), Reason.TOO_OLD),
        (Unreachable(Stage.RCPT, "a"), Reason.REFUSED),
        (InDoubt("a"), Reason.REFUSED),
    ],
)
def test_recipients_refused_for_another_cause_have_a_dead_letter_of_their_own(
    outcome: Outcome, reason: Reason
) -> None:
    verdicts = [
        Verdict(("a@example.org",), refused("a"), DeadLetter(Reason.REFUSED)),
        Verdict(("b@example.org",), outcome, DeadLetter(reason)),
        Verdict(("c@example.org",), refused("c"), DeadLetter(Reason.REFUSED)),
    ]

    first, second = followups(delivery(), TRAIL, verdicts, NOW)

    assert first.headers["x-hopmail-pending"] == ["a@example.org", "c@example.org"]
    assert second.headers["x-hopmail-pending"] == ["b@example.org"]
    assert second.headers["x-hopmail-reason"] == reason.value
    assert json.loads(second.headers["x-hopmail-detail"]) == detail_of(outcome)


def test_a_dead_letter_says_all_that_is_known() -> None:
    verdict = Verdict(("no@example.org",), REFUSED, DeadLetter(Reason.REFUSED))

    (dead,) = followups(delivery({"traceparent": "00-abc"}), TRAIL, [verdict], NOW)

    expected = {
        "traceparent": "00-abc",
        "x-hopmail-attempt": 1,
        "x-hopmail-epoch": 1,
        "x-hopmail-first-published-ms": int(FIRST.timestamp() * 1000),
        "x-hopmail-pending": ["no@example.org"],
        "x-hopmail-login": "webapp",
        "x-hopmail-reason": "refused",
        "x-hopmail-detail": json.dumps(
            {"stage": "RCPT", "code": 550, "enhanced": "5.1.1", "text": "no such user"}
        ),
        "x-hopmail-lane": "transactional",
        "x-hopmail-last-attempt-ms": int(NOW.timestamp() * 1000),
    }
    assert Followup("email.dead", "dead", expected) == dead


def test_an_undecodable_message_keeps_who_was_still_owed() -> None:
    trail = Trail(2, FIRST, ("b@example.org",), None)
    verdict = Verdict((), Undecodable(Defect.INVALID), DeadLetter(Reason.INVALID))

    (dead,) = followups(delivery(), trail, [verdict], NOW)

    assert dead.headers["x-hopmail-pending"] == ["b@example.org"]


def test_headers_are_copied_from_an_allow_list_only() -> None:
    hostile = {
        "x-death": [{"queue": "email.transactional.v1"}],
        "x-delivery-count": 3,
        "x-hopmail-attempt": 99,
        "traceparent": "x" * 10_000,
        "tracestate": ["no", "text"],
        "x-published-at-ms": 5,
        "their-own": "thing",
    }

    copy = back_to_lane(delivery(hostile), TRAIL)

    assert (copy.exchange, copy.routing_key) == ("email", "transactional")
    assert {
        "x-published-at-ms",
        "x-hopmail-attempt",
        "x-hopmail-first-published-ms",
        "x-hopmail-login",
    } == set(copy.headers)
    assert copy.headers["x-hopmail-attempt"] == 1


@pytest.mark.parametrize(
    ("number", "kept"),
    [(2**63 - 1, True), (-(2**63) + 1, True), (2**63, False), (int(1e300), False), (True, True)],
)
def test_a_number_is_copied_only_where_amqp_can_write_it(number: int, kept: bool) -> None:
    copy = back_to_lane(delivery({"traceparent": number}), TRAIL)

    assert copy.headers.get("traceparent") == (number if kept else None)


def test_a_long_list_of_violations_is_cut_to_fit_a_frame() -> None:
    violations = tuple(Violation(f"/attachments/{n}", "é" * 300) for n in range(50))
    verdict = Verdict((), Undecodable(Defect.INVALID, violations), DeadLetter(Reason.INVALID))

    (dead,) = followups(delivery(), TRAIL, [verdict], NOW)

    detail = json.loads(dead.headers["x-hopmail-detail"])
    assert len(dead.headers["x-hopmail-detail"]) <= 16_384
    assert detail["violations"][0]["pointer"] == "/attachments/0"


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Accepted(Reply(250, "2.0.0", "queued")), {"text": "250 2.0.0 queued"}),
        (
            Unreachable(Stage.DATA, "connection lost"),
            {"stage": "DATA", "text": "connection lost"},
        ),
        (InDoubt("no reply"), {"stage": "END_OF_DATA", "text": "no reply"}),
        (Crashed("KeyError in x:1"), {"text": "KeyError in x:1"}),
        (Expired(NOW), {"text": "expires_at was 2026-11-24T12:00:00+00:00"}),
        (NotDue(timedelta(seconds=90)), {"text": "due in 90 s"}),
    ],
)
def test_every_outcome_has_its_words(outcome: Outcome, expected: dict[str, Any]) -> None:
    assert expected == detail_of(outcome)


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Duplicate("another copy of it was settled before"), "settled before"),
        (Conflict(), "another message was published with this login and message id"),
        (Forgotten(timedelta(days=14)), "over 14 days ago"),
        (Poisonous(5), "5 processes ended while they had it in hands"),
        (Barred(), "not among HOPMAIL_ALLOWED_RECIPIENT_DOMAINS"),
    ],
)
def test_what_the_ledger_found_is_told_in_words(outcome: Outcome, words: str) -> None:
    assert words in detail_of(outcome)["text"]


def test_a_dead_letter_is_sent_again_from_its_first_attempt_to_whom_it_was_owed() -> None:
    trail = Trail(7, FIRST, ("b@example.org",), "webapp", epoch=2)

    copy = sent_again(
        delivery({"traceparent": "00-abc", "x-death": [], "x-hopmail-reason": "refused"}),
        trail,
        NOW,
    )

    assert (copy.exchange, copy.routing_key) == ("email", "transactional")
    assert copy.headers == {
        "traceparent": "00-abc",
        "x-hopmail-attempt": 1,
        "x-hopmail-epoch": 2,
        "x-hopmail-first-published-ms": int(FIRST.timestamp() * 1000),
        "x-hopmail-login": "webapp",
        "x-hopmail-pending": ["b@example.org"],
        "x-hopmail-replayed": 1,
        "x-hopmail-replayed-at-ms": int(NOW.timestamp() * 1000),
    }


def test_a_replay_of_what_rabbitmq_moved_is_of_the_next_epoch_and_counted() -> None:
    trail = Trail(7, FIRST, None, "webapp", epoch=2, replayed=3)

    copy = sent_again(delivery({"x-death": [{"reason": "delivery_limit"}]}), trail, NOW)

    assert copy.headers["x-hopmail-epoch"] == 3
    assert copy.headers["x-hopmail-replayed"] == 4
