"""A delivery that breaks the sender policy is a dead letter, whatever else it is."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from consumer.core.answer import Answer
from consumer.core.decide import RetryPolicy
from consumer.core.delivery import Delivery, Properties
from consumer.core.disposition import Ack, DeadLetter, Disposition, Reason
from consumer.core.envelope import Composed
from consumer.core.handled import Handled
from consumer.core.outcome import Accepted, Reply
from consumer.core.sender_policy import SenderPolicy
from consumer.core.trail import LOGIN, Trail, trail_headers
from consumer.worker import Worker
from publisher_lib.routing import Lane
from tests.support.deliveries import opened

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
POLICY = SenderPolicy.of({"shop": ["@shop.example"], "ops": ["@ops.example"]})
WORKER = Worker(
    RetryPolicy((timedelta(seconds=30),), timedelta(days=5)),
    frozenset({"hopmail", "ops"}),
    lambda: NOW,
    timedelta(days=14),
    senders=POLICY,
)
OK = Ack()
UNAUTHENTICATED = DeadLetter(Reason.UNAUTHENTICATED)
NOT_ALLOWED = DeadLetter(Reason.SENDER_NOT_ALLOWED)


def handled(login: str | None, sender: str = "a@shop.example", **more: Any) -> Handled:
    headers = more.pop("headers", {})
    email = {
        "email_to": ["ada@example.org", "bob@example.org"],
        "email_from": sender,
        "subject": "Hi",
        "message": {"text": "Hello"},
        **more,
    }
    properties = Properties(message_id="m-1", type="email.v1", user_id=login, headers=headers)
    delivery = Delivery(
        lane=Lane.TRANSACTIONAL,
        tag=1,
        generation=1,
        redelivered=False,
        properties=properties,
        body=json.dumps(email).encode(),
        received_seconds=0.0,
    )
    found = WORKER.handle(opened(WORKER, delivery), accept)
    assert found is not None
    return found


def accept(composed: Composed) -> Answer:
    return tuple((name, Accepted(Reply(250))) for name in composed.envelope.recipients)


def verdict(login: str | None, sender: str = "a@shop.example", **more: Any) -> Disposition:
    (found,) = handled(login, sender, **more).verdicts
    return found.disposition


def copy_of(login: str | None) -> dict[str, Any]:
    return dict(trail_headers(Trail(2, NOW, None, login)))


def test_a_login_sends_as_itself_and_as_nobody_else() -> None:
    assert verdict("shop") == OK
    assert verdict("shop", "a@ops.example") == NOT_ALLOWED
    assert verdict("stranger") == NOT_ALLOWED
    assert verdict(None) == UNAUTHENTICATED


def test_a_copy_of_ours_is_held_to_who_published_it_and_not_to_who_signed_it() -> None:
    assert verdict("hopmail", headers=copy_of("shop")) == OK
    assert verdict("ops", headers=copy_of("shop")) == OK
    assert verdict("ops", "a@ops.example", headers=copy_of("shop")) == NOT_ALLOWED
    assert verdict("hopmail", headers=copy_of(None)) == UNAUTHENTICATED


def test_a_person_who_sends_one_again_is_held_to_it_too() -> None:
    again = dict(trail_headers(Trail(1, NOW, None, "stranger", epoch=1)))

    assert verdict("ops", headers=again) == NOT_ALLOWED


def test_the_consumers_own_login_needs_a_line_for_mail_of_its_own() -> None:
    assert verdict("hopmail") == NOT_ALLOWED
    assert verdict("ops", "a@ops.example") == OK


def test_no_app_can_say_that_it_is_another() -> None:
    assert verdict("shop", "a@ops.example", headers={LOGIN: "ops"}) == DeadLetter(
        Reason.UNTRUSTED_HEADERS
    )


@pytest.mark.parametrize("time", [{"send_at": "2026-11-24T13:00:00Z"}, {}])
def test_it_is_said_at_once_and_for_all_recipients(time: dict[str, str]) -> None:
    found = handled("shop", "a@ops.example", **time)

    (dead,) = found.followups
    assert dead.headers["x-hopmail-reason"] == "sender_not_allowed"
    assert dead.headers[LOGIN] == "shop"
    (violation,) = json.loads(dead.headers["x-hopmail-detail"])["violations"]
    assert violation["pointer"] == "/email_from"
    assert found.verdicts[0].recipients == ("ada@example.org", "bob@example.org")


def test_without_a_policy_anybody_may_send_as_anybody() -> None:
    free = Worker(WORKER.policy, WORKER.trusted_logins, WORKER.now, WORKER.retention)

    assert free.senders is None
