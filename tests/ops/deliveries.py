"""Handled deliveries of every outcome, made by the real pipeline."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from consumer.core.decide import RetryPolicy
from consumer.core.delivery import Delivery, Properties
from consumer.core.disposition import DeadLetter, Reason
from consumer.core.handled import Handled, Verdict
from consumer.core.outcome import (
    Accepted,
    Breach,
    Crashed,
    InDoubt,
    Refused,
    Reply,
    Stage,
    TransactionOutcome,
    Unauthorized,
    Unreachable,
    Violation,
)
from consumer.worker import Worker
from publisher_lib.routing import Lane
from tests.support.deliveries import opened

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
PUBLISHED = NOW - timedelta(seconds=12, milliseconds=500)
POLICY = RetryPolicy((timedelta(seconds=30),), timedelta(days=1))
WORKER = Worker(POLICY, frozenset({"hopmail"}), lambda: NOW, timedelta(days=14))

TO = "ada.lovelace@example.org"
CC = "grace.hopper@example.net"
FROM = "no-reply@shop.example"
SECRETS = (
    "ada.lovelace",
    "grace.hopper",
    "no-reply",
    "Countess",
    "Secretsubject",
    "Secretbody",
    "secretname",
    "Secretfield",
    "Secrettoken",
)
EMAIL: dict[str, Any] = {
    "email_to": f"Countess <{TO}>",
    "email_from": f"Countess <{FROM}>",
    "cc": CC,
    "subject": "Secretsubject",
    "message": {"text": "Secretbody", "html": "<p>Secretbody</p>"},
    "attachments": [
        {
            "filename": "secretname.pdf",
            "content_type": "application/pdf",
            "content": base64.b64encode(b"Secretbody").decode(),
        }
    ],
}
ECHO = (
    f"rejected <{TO}> (from {FROM}), user ada.lovelace, GRACE.HOPPER@example.net, {CC},"
    " https://shop.example/reset?token=Secrettoken \"Secretsubject\" 'Secretbody' «Secretbody»"
)


def handled(
    *answers: TransactionOutcome,
    body: dict[str, Any] | bytes = EMAIL,
    lane: Lane = Lane.TRANSACTIONAL,
    **properties: Any,
) -> Handled:
    """Return the record of an email to `TO` and `CC`, answered once for both or one by one."""
    known: dict[str, Any] = {
        "message_id": "m-1",
        "type": "email.v1",
        "app_id": "shop",
        "headers": {"x-published-at-ms": int(PUBLISHED.timestamp() * 1000)},
    }
    delivery = Delivery(
        lane=lane,
        tag=1,
        generation=1,
        redelivered=False,
        properties=Properties(**(known | properties)),
        body=body if isinstance(body, bytes) else json.dumps(body).encode(),
        received_seconds=0.0,
    )
    each = answers if len(answers) > 1 else answers * 2
    found = WORKER.handle(
        opened(WORKER, delivery), lambda _composed: tuple(zip((TO, CC), each, strict=True))
    )
    assert found is not None
    return found


def every_outcome() -> Iterator[Handled]:
    """Yield a handled delivery of each kind, the relay echoing addresses wherever it speaks."""
    yield handled(Accepted(Reply(250, "2.0.0", ECHO)))
    yield handled(Refused(Stage.RCPT, Reply(450, "4.7.1", ECHO)))
    yield handled(Refused(Stage.RCPT, Reply(550, "5.1.1", ECHO)))
    yield handled(Unreachable(Stage.AUTH, f"535 5.7.8 {ECHO}", Reply(535, "5.7.8", ECHO)))
    yield handled(Unreachable(Stage.DATA, ECHO))
    yield handled(InDoubt(f"unexpected reply: {ECHO}"))
    yield handled(InDoubt(ECHO), body=EMAIL | {"if_uncertain": "hold"})
    yield handled(Accepted(Reply(250, "", ECHO)), Refused(Stage.RCPT, Reply(550, "5.1.1", ECHO)))
    yield handled(body=EMAIL | {"send_at": "2026-11-24T13:00:00Z"})
    yield handled(body=EMAIL | {"expires_at": "2026-11-24T11:00:00Z"})
    yield handled(body=EMAIL | {"Secretfield": 1, "subject": "Secretsubject\n"})
    yield handled(body=b'{"Secretbody": ')
    yield handled(type="Secretbody")
    yield handled(message_id="Countess\n")
    yield replace(
        handled(Accepted(Reply(250))),
        verdicts=(
            Verdict((TO, CC), Crashed("KeyError in compose:7"), DeadLetter(Reason.INTERNAL_ERROR)),
        ),
    )
    yield replace(handled(Accepted(Reply(250))), verdicts=(_forbidden(),))


def _forbidden() -> Verdict:
    violation = Violation("/email_from", "must be a sender of the login shop")
    return Verdict(
        (TO, CC),
        Unauthorized(Breach.SENDER_NOT_ALLOWED, violation),
        DeadLetter(Reason.SENDER_NOT_ALLOWED),
    )
