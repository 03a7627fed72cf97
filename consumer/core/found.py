"""What is found of one message where it left traces: in the ledger, the log, the dead letters."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from consumer.core.delivery import Delivery
from consumer.core.followup import DETAIL, LAST_ATTEMPT_MS, REASON
from consumer.core.ledger import Generation, Key, State
from consumer.core.record import record
from consumer.core.trail import claimed_trail, read_trail

HANDLED: Final = "handled"
"""The event of the line that each delivery brings once it is settled."""

BY_RABBITMQ: Final = "put there by RabbitMQ"
LONGEST_WORD: Final = 200
LATEST_MS: Final = 253_402_300_799_000
"""The end of the year 9999."""


class Holder(StrEnum):
    """In whose hands a recipient is."""

    NOBODY = "nobody"
    LIVING = "living"
    ENDED = "ended"
    """A process that has ended; what it left is not settled yet."""


@record
class KnownRecipient:
    """What the ledger knows of a recipient.

    `state` is what holds as soon as nobody has it in hands: never CLAIMED. `changed` is the day
    (UTC) of its last change, as far as that is kept.
    """

    name: str
    generation: Generation
    state: State
    holder: Holder
    note: str = ""
    changed: date | None = None


@record
class Known:
    """What the ledger knows of a message; `deaths` processes ended with it in hands."""

    key: Key
    fingerprint: bytes
    recipients: tuple[KnownRecipient, ...]
    deaths: int = 0


@record
class Line:
    """A line of the log about the message; `worker` is the process's name: host and number."""

    at: datetime
    event: str
    worker: str
    fields: Mapping[str, Any]


@record
class Told:
    """One verdict, as the line of a handled delivery tells it. `reply` is masked there."""

    outcome: str
    disposition: str
    reason: str
    delay: timedelta | None
    stage: str
    reply: str
    recipients: int


@record
class DeadSeen:
    """A dead letter in its queue.

    With `is_believed` its headers were signed by a login that may write such; else they say only
    what they say. `pending` are the recipients still owed, None where the message has all of them.
    `replayed` counts how often a person had it sent again, the last time at `replayed_at`.
    """

    login: str
    is_believed: bool
    reason: str
    detail: Mapping[str, Any]
    attempt: int
    lane: str
    app_id: str
    published: datetime | None
    last_attempt: datetime | None
    pending: tuple[str, ...] | None
    replayed: int = 0
    replayed_at: datetime | None = None


def verdicts_of(line: Line) -> tuple[Told, ...]:
    """Return what a line of a handled delivery tells, in its order."""
    several = line.fields.get("verdicts")
    if isinstance(several, list):
        return tuple(_told(each) for each in several if isinstance(each, dict))
    return (_told(line.fields),)


def attempt_of(line: Line) -> int:
    """Return the number of the attempt that a line is about; 0 where it tells none."""
    return _whole(line.fields, "attempt")


def replayed_of(line: Line) -> int:
    """Return how often a person had sent again what a line is about."""
    return _whole(line.fields, "replayed")


def word(fields: Mapping[str, Any], name: str) -> str:
    """Return a field's text; empty where there is none."""
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def reply_words(fields: Mapping[str, Any]) -> str:
    """Return what a relay said as one text: code, enhanced code, words."""
    words = (fields.get(name) for name in ("code", "enhanced", "text"))
    return " ".join(str(each) for each in words if isinstance(each, str | int) and each)


def dead_seen(delivery: Delivery, trusted_logins: frozenset[str], now: datetime) -> DeadSeen:
    """Return what a dead letter tells."""
    properties, headers = delivery.properties, delivery.properties.headers
    is_believed = properties.user_id in trusted_logins
    read = read_trail(properties, trusted_logins, now)
    trail = read if is_believed else claimed_trail(properties, now)
    reason = headers.get(REASON)
    return DeadSeen(
        login=trail.login or "",
        is_believed=is_believed,
        reason=reason[:LONGEST_WORD] if isinstance(reason, str) else BY_RABBITMQ,
        detail=_detail(headers.get(DETAIL)),
        attempt=trail.attempt,
        lane=str(delivery.lane),
        app_id=properties.app_id or "",
        # What has no time of its own is given ours.
        published=None if trail.first_published == now else trail.first_published,
        last_attempt=_moment(headers.get(LAST_ATTEMPT_MS)),
        pending=trail.pending,
        replayed=trail.replayed,
        replayed_at=trail.replayed_at,
    )


def _told(fields: Mapping[str, Any]) -> Told:
    delay = fields.get("delay_seconds")
    is_delay = isinstance(delay, int | float) and 0 <= delay < LATEST_MS / 1e6
    return Told(
        outcome=word(fields, "outcome"),
        disposition=word(fields, "disposition"),
        reason=word(fields, "reason"),
        delay=timedelta(seconds=delay) if is_delay and delay is not None else None,
        stage=word(fields, "stage"),
        reply=reply_words(fields),
        recipients=_whole(fields, "recipients"),
    )


def _whole(fields: Mapping[str, Any], name: str) -> int:
    value = fields.get(name)
    return value if isinstance(value, int) else 0


def _detail(text: object) -> Mapping[str, Any]:
    try:
        found = json.loads(text) if isinstance(text, str) else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _moment(milliseconds: object) -> datetime | None:
    if not isinstance(milliseconds, int) or not 0 < milliseconds < LATEST_MS:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
