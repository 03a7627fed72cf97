"""One delivery's way through the pipeline, with the relay's part handed in."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from consumer.core.answer import Answer
from consumer.core.decide import RetryPolicy
from consumer.core.delivery import Delivery, Properties
from consumer.core.disposition import Ack, DeadLetter, Reason, Retry
from consumer.core.envelope import Composed
from consumer.core.mail import Mail
from consumer.core.outcome import Accepted, Crashed, InDoubt, Refused, Reply, Stage
from consumer.core.trail import Trail, read_trail, trail_headers
from consumer.worker import Worker
from publisher_lib.routing import Lane
from tests.support.deliveries import opened

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
STEP = timedelta(seconds=30)
WORKER = Worker(
    RetryPolicy((STEP,), timedelta(days=5)), frozenset({"hopmail"}), lambda: NOW, timedelta(days=14)
)
OK = Reply(250, "2.0.0", "queued")
LATER = Reply(451, "4.7.1", "later")

EMAIL: dict[str, Any] = {
    "email_to": ["a@example.org", "b@example.org"],
    "email_from": "app@example.org",
    "subject": "Hi",
    "message": {"text": "Hello"},
}


def mail(body: dict[str, Any] | bytes = EMAIL, **properties: Any) -> Mail:
    return opened(WORKER, delivery(body, **properties))


def delivery(body: dict[str, Any] | bytes = EMAIL, **properties: Any) -> Delivery:
    known = {"message_id": "m-1", "type": "email.v1", "timestamp_seconds": 1_795_521_590}
    return Delivery(
        lane=Lane.TRANSACTIONAL,
        tag=1,
        generation=1,
        redelivered=False,
        properties=Properties(**{**known, **properties}),
        body=body if isinstance(body, bytes) else json.dumps(body).encode(),
        received_seconds=0.0,
    )


def accept(composed: Composed) -> Answer:
    return tuple((recipient, Accepted(OK)) for recipient in composed.envelope.recipients)


def unexpected(composed: Composed) -> Answer:
    raise AssertionError(f"the relay was asked for {composed.envelope}")


def test_an_accepted_email_is_acked_with_its_latency() -> None:
    handled = WORKER.handle(mail(timestamp_seconds=int(NOW.timestamp()) - 3), accept)

    assert handled is not None
    assert [Ack()] == [verdict.disposition for verdict in handled.verdicts]
    assert handled.verdicts[0].recipients == ("a@example.org", "b@example.org")
    assert handled.followups == ()
    assert pytest.approx(3.0) == handled.latency_seconds


def test_recipients_with_different_fates_get_a_verdict_each() -> None:
    def partly(_composed: Composed) -> Answer:
        return (
            ("a@example.org", Accepted(OK)),
            ("b@example.org", Refused(Stage.RCPT, LATER)),
        )

    handled = WORKER.handle(mail(), partly)

    assert handled is not None
    assert [Ack(), Retry(STEP, 2)] == [verdict.disposition for verdict in handled.verdicts]
    assert [f.headers["x-hopmail-pending"] for f in handled.followups] == [["b@example.org"]]


def test_a_retry_goes_only_to_who_is_still_owed() -> None:
    trail = trail_headers(Trail(2, NOW, ("b@example.org",), "webapp"))
    asked: list[tuple[str, ...]] = []

    def remember(composed: Composed) -> Answer:
        asked.append(composed.envelope.recipients)
        assert b"To: a@example.org, b@example.org" in composed.content
        return accept(composed)

    handled = WORKER.handle(mail(user_id="hopmail", headers=trail), remember)

    assert handled is not None
    assert asked == [("b@example.org",)]
    assert handled.attempt == 2


def test_what_is_no_email_never_reaches_the_relay() -> None:
    handled = WORKER.handle(mail(b"{}"), unexpected)

    assert handled is not None
    assert [DeadLetter(Reason.INVALID)] == [verdict.disposition for verdict in handled.verdicts]
    assert handled.latency_seconds is None


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ({"expires_at": "2026-11-24T11:00:00Z"}, DeadLetter(Reason.EXPIRED)),
        ({"send_at": "2026-11-24T13:00:00Z"}, Retry(STEP, 1)),
    ],
)
def test_an_email_before_or_after_its_time_never_reaches_the_relay(
    field: dict[str, str], expected: DeadLetter | Retry
) -> None:
    handled = WORKER.handle(mail({**EMAIL, **field}), unexpected)

    assert handled is not None
    assert [expected] == [verdict.disposition for verdict in handled.verdicts]
    assert handled.followups[0].headers["x-hopmail-pending"] == ["a@example.org", "b@example.org"]


def test_what_is_given_back_leaves_no_record() -> None:
    assert WORKER.handle(mail(), lambda _composed: None) is None


def test_what_was_made_ready_is_what_is_sent() -> None:
    asked: list[Composed] = []

    def remember(composed: Composed) -> Answer:
        asked.append(composed)
        return accept(composed)

    trail = trail_headers(Trail(2, NOW, ("b@example.org",), "webapp"))
    plain = mail(user_id="hopmail", headers=trail)
    ready = WORKER.prepare(plain)
    handled = [WORKER.handle(each, remember) for each in (plain, ready)]

    assert ready.composed is asked[1]
    assert asked[0] == asked[1]
    assert all(each is not None and each.latency_seconds == 0 for each in handled)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        {**EMAIL, "send_at": "2026-11-24T13:00:00Z"},
        {**EMAIL, "expires_at": "2026-11-24T11:00:00Z"},
    ],
)
def test_what_is_not_to_be_sent_now_is_not_made_ready(body: dict[str, Any] | bytes) -> None:
    found = mail(body)

    assert WORKER.prepare(found) is found


def test_an_email_that_expires_once_it_is_ready_never_reaches_the_relay() -> None:
    moments = iter([NOW, NOW, *[NOW + timedelta(hours=2)] * 5])
    worker = replace(WORKER, now=lambda: next(moments))
    found = opened(worker, delivery({**EMAIL, "expires_at": "2026-11-24T13:00:00Z"}))

    ready = worker.prepare(found)
    handled = worker.handle(ready, unexpected)

    assert ready.composed is not None
    assert handled is not None
    assert [DeadLetter(Reason.EXPIRED)] == [verdict.disposition for verdict in handled.verdicts]


def test_a_bug_in_making_ready_is_told_when_its_turn_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_arguments: object) -> Composed:
        raise ZeroDivisionError

    monkeypatch.setattr("consumer.attempt.compose", broken)
    found = mail()
    ready = WORKER.prepare(found)
    handled = WORKER.handle(ready, unexpected)

    assert ready is found
    assert handled is not None
    assert isinstance(handled.verdicts[0].outcome, Crashed)


def test_a_bug_before_the_relay_costs_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: object) -> Composed:
        raise KeyError("secret subject")

    monkeypatch.setattr("consumer.attempt.compose", broken)

    handled = WORKER.handle(mail(), unexpected)

    assert handled is not None
    (verdict,) = handled.verdicts
    assert DeadLetter(Reason.INTERNAL_ERROR) == verdict.disposition
    assert isinstance(verdict.outcome, Crashed)
    assert "KeyError in " in verdict.outcome.detail
    assert "secret" not in verdict.outcome.detail


def test_a_bug_while_talking_to_the_relay_leaves_the_email_in_doubt() -> None:
    def broken(_composed: Composed) -> Answer:
        raise ZeroDivisionError

    handled = WORKER.handle(mail({**EMAIL, "if_uncertain": "hold"}), broken)

    assert handled is not None
    (verdict,) = handled.verdicts
    assert isinstance(verdict.outcome, InDoubt)
    assert DeadLetter(Reason.IN_DOUBT) == verdict.disposition


def test_a_delivery_held_too_long_goes_back_without_spending_an_attempt() -> None:
    trail = trail_headers(Trail(3, NOW, ("b@example.org",), "webapp"))

    copy = WORKER.back_to_lane(mail(user_id="hopmail", headers=trail))

    assert (copy.exchange, copy.routing_key) == ("email", "transactional")
    assert dict(trail) == dict(copy.headers)


@pytest.mark.parametrize("user_id", [None, "webapp"])
def test_copies_of_what_nobody_vouches_for_claim_what_it_claimed_and_are_not_signed(
    user_id: str | None,
) -> None:
    claimed = Trail(3, NOW - timedelta(hours=1), ("b@example.org",), "shop")
    found = mail(user_id=user_id, headers=trail_headers(claimed))

    handled = WORKER.handle(found, unexpected)
    assert handled is not None
    (letter,) = handled.followups
    copies = (letter, WORKER.back_to_lane(found), WORKER.aside(found))

    assert [each.is_signed for each in copies] == [False] * 3
    for each, epoch in zip(copies, (1, 0, 0), strict=True):
        trail = read_trail(
            Properties(user_id="hopmail", headers=each.headers), frozenset({"hopmail"}), NOW
        )
        assert trail == replace(claimed, epoch=epoch)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-hopmail-pending": ["a@example.org"] * 101},
        {"x-hopmail-pending": ["a" * 600]},
        {"x-hopmail-attempt": 2, "x-hopmail-login": "l" * 600},
    ],
)
def test_a_claim_that_cannot_be_ours_is_not_copied(headers: dict[str, Any]) -> None:
    handled = WORKER.handle(mail(user_id="webapp", headers=headers), unexpected)

    assert handled is not None
    (letter,) = handled.followups
    assert letter.headers["x-hopmail-login"] == "webapp"
    assert "x-hopmail-pending" not in letter.headers


def test_the_trace_is_passed_to_the_record() -> None:
    handled = WORKER.handle(mail(headers={"traceparent": "00-abc-def-01"}), accept)

    assert handled is not None
    assert handled.traceparent == "00-abc-def-01"


def test_a_mail_sent_later_is_no_older_than_its_time() -> None:
    due = NOW - timedelta(seconds=4)
    published = int((NOW - timedelta(days=6)).timestamp())
    email = {**EMAIL, "send_at": due.isoformat()}

    def later(composed: Composed) -> Answer:
        return tuple((name, Refused(Stage.RCPT, LATER)) for name in composed.envelope.recipients)

    deferred = WORKER.handle(mail(email, timestamp_seconds=published), later)
    accepted = WORKER.handle(mail(email, timestamp_seconds=published), accept)

    assert deferred is not None
    assert [Retry(STEP, 2)] == [verdict.disposition for verdict in deferred.verdicts]
    assert accepted is not None
    assert accepted.latency_seconds == pytest.approx(4.0)


@pytest.mark.parametrize("deaths", [0, 5])
def test_a_copy_that_a_former_login_signed_stays_unbelieved_whoever_died_of_it(
    deaths: int,
) -> None:
    headers = dict(trail_headers(Trail(2, NOW - STEP, ("b@example.org",), "shop")))
    found = opened(WORKER, delivery(user_id="former", headers=headers), deaths)

    handled = WORKER.handle(found, unexpected)

    assert handled is not None
    (followup,) = handled.followups
    assert not followup.is_signed
    assert followup.headers["x-hopmail-pending"] == ["b@example.org"]
    assert followup.headers["x-hopmail-login"] == "shop"


def test_a_replayed_mail_is_no_older_than_its_replay() -> None:
    replayed = NOW - timedelta(seconds=4)
    trail = Trail(1, NOW - timedelta(days=9), ("a@example.org",), "webapp", 1, 1, replayed)
    again = mail(user_id="hopmail", headers=trail_headers(trail))

    deferred = WORKER.handle(again, lambda _: (("a@example.org", Refused(Stage.RCPT, LATER)),))
    accepted = WORKER.handle(again, accept)

    assert deferred is not None
    assert [Retry(STEP, 2)] == [verdict.disposition for verdict in deferred.verdicts]
    (copy,) = deferred.followups
    assert copy.headers["x-hopmail-replayed"] == 1
    assert copy.headers["x-hopmail-replayed-at-ms"] == int(replayed.timestamp() * 1000)
    assert accepted is not None
    assert accepted.latency_seconds == pytest.approx(4.0)


def test_no_app_can_make_its_mail_look_younger() -> None:
    forged = {"x-hopmail-replayed-at-ms": int(NOW.timestamp() * 1000)}

    handled = WORKER.handle(mail(user_id="webapp", headers=forged), unexpected)

    assert handled is not None
    assert [DeadLetter(Reason.UNTRUSTED_HEADERS)] == [v.disposition for v in handled.verdicts]
