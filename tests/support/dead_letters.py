"""Dead letters as the consumer writes them, put straight into their queue."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pika

from consumer.core.delivery import Delivery, Properties
from consumer.core.disposition import DeadLetter, Reason
from consumer.core.followup import followups
from consumer.core.handled import Verdict
from consumer.core.outcome import Defect, InDoubt, Outcome, Refused, Reply, Stage, Undecodable
from consumer.core.topology import DEAD_KEY, DEAD_QUEUE
from consumer.core.trail import Trail
from publisher_lib.confirms import ConfirmedPublisher
from publisher_lib.routing import DEAD_EXCHANGE, Lane
from tests.support.broker import VirtualHost

ADA: Final = "ada@example.org"
OUTCOMES: Final[dict[Reason, Outcome]] = {
    Reason.REFUSED: Refused(Stage.RCPT, Reply(550, "5.1.1", "nobody here")),
    Reason.ATTEMPTS_EXHAUSTED: Refused(Stage.MAIL, Reply(451, "4.7.1", "later")),
    Reason.IN_DOUBT: InDoubt("connection lost"),
    Reason.INVALID: Undecodable(Defect.INVALID),
}


def email(*to: str, **fields: Any) -> bytes:
    """Return the body of an email."""
    return json.dumps(
        {
            "email_to": list(to or (ADA,)),
            "email_from": "app@example.org",
            "subject": "Hi",
            "message": {"text": "Hello"},
        }
        | fields
    ).encode()


def dead_letter(
    message_id: str,
    reason: Reason = Reason.REFUSED,
    *,
    to: tuple[str, ...] = (ADA,),
    lane: Lane = Lane.TRANSACTIONAL,
    age: timedelta = timedelta(hours=1),
    login: str = "shop",
    attempt: int = 1,
    body: bytes | None = None,
) -> tuple[str, dict[str, Any], bytes]:
    """Return message id, headers and body; `age` is how long ago it died."""
    died = datetime.now(UTC) - age
    delivery = Delivery(lane, 1, 0, False, Properties(message_id=message_id), b"", 0.0)  # noqa: FBT003
    trail = Trail(attempt, died - timedelta(minutes=1), None, login)
    verdict = Verdict(to, OUTCOMES[reason], DeadLetter(reason))
    (followup,) = followups(delivery, trail, [verdict], died)
    return message_id, dict(followup.headers), email(*to) if body is None else body


def bury(
    vhost: VirtualHost, *letters: tuple[str, dict[str, Any], bytes], signer: str | None = ""
) -> None:
    """Put dead letters into the queue, signed by the consumer's login unless told otherwise."""
    before = vhost.queue_depth(DEAD_QUEUE)
    user = f"hopmail-{vhost.name}" if signer == "" else signer
    publisher = ConfirmedPublisher(vhost.url_for(user) if user else vhost.url)
    confirms = [
        publisher.submit(
            DEAD_EXCHANGE,
            DEAD_KEY,
            pika.BasicProperties(
                message_id=message_id,
                type="email.v1",
                content_type="application/json",
                delivery_mode=2,
                app_id="shop",
                user_id=user,
                headers=headers,
            ),
            body,
            30.0,
        )
        for message_id, headers, body in letters
    ]
    for confirm in confirms:
        confirm.result()
    publisher.close(5)
    assert vhost.queue_depth(DEAD_QUEUE) == before + len(letters)


def lying(vhost: VirtualHost) -> list[str]:
    """Return the message ids in the dead-letter queue, in its order, and take all out."""
    return [message.properties.message_id for message in vhost.take_all(DEAD_QUEUE)]


def many(count: int, body: bytes | None = None) -> Iterator[tuple[str, dict[str, Any], bytes]]:
    """Return so many dead letters, of several reasons."""
    reasons = (Reason.REFUSED, Reason.ATTEMPTS_EXHAUSTED)
    for number in range(count):
        yield dead_letter(f"m-{number}", reasons[number % 2], body=body)
