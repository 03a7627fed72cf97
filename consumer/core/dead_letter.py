"""What a dead letter tells of itself: ours by its headers, RabbitMQ's own by their `x-death`."""

import hashlib
import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import field
from datetime import datetime
from typing import Any, Final

from consumer.core.contract import parse_valid
from consumer.core.dead_body import BodyState, state_of
from consumer.core.death import deaths_in, died_at, died_ms, reason_of
from consumer.core.delivery import Delivery, Properties
from consumer.core.followup import DETAIL, REASON, is_ours
from consumer.core.ledger import fingerprint
from consumer.core.record import record
from consumer.core.trail import LOGIN, OURS, Trail, claimed_trail, read_trail
from publisher_lib.routing import TRACE_HEADERS, Lane

ID_BYTES: Final = 6


@record
class DeadLetter:
    """One message of the dead-letter queue, without its body.

    `id` tells it from the others: one message can leave several, for different recipients. `login`
    is who published the message, `signer` the `user_id` under which it lies in the queue. What is
    not `is_trusted` only claims what it says: nobody whom we believe has signed it.
    """

    id: str
    message_id: str | None
    login: str
    signer: str | None
    is_trusted: bool
    reason: str
    detail: Mapping[str, Any]
    lane: Lane
    attempt: int
    replayed: int
    published_at: datetime | None
    died_at: datetime | None
    recipients: tuple[str, ...]
    size: int
    body: BodyState = BodyState.KEPT
    app_id: str | None = None
    traceparent: str | None = None
    deaths: Mapping[str, int] = field(default_factory=dict)

    @property
    def domains(self) -> tuple[str, ...]:
        """Its recipients' domains, each once."""
        return tuple(sorted({name.rpartition("@")[2].lower() for name in self.recipients}))

    @property
    def told(self) -> tuple[str, ...]:
        """Why it lies there, in sentences: each breach of the contract, or the relay's answer."""
        violations = self.detail.get("violations")
        if isinstance(violations, list):
            return tuple(
                f"{each.get('pointer') or 'the body'} {each.get('message')}"
                for each in violations
                if isinstance(each, dict)
            )
        known = (self.detail.get(name) for name in ("stage", "code", "enhanced", "text"))
        sentence = " ".join(str(value) for value in known if value)
        return (sentence,) if sentence else ()


def read_dead_letter(
    delivery: Delivery, trusted_logins: AbstractSet[str], now: datetime
) -> DeadLetter:
    """Return what a message of the dead-letter queue tells of itself. Never fails."""
    properties, headers = delivery.properties, delivery.properties.headers
    trusted = is_trusted(properties, trusted_logins)
    trail = trail_of(delivery, trusted_logins, now, believe=True)
    traceparent = headers.get(TRACE_HEADERS[0])
    return DeadLetter(
        id=identity(delivery),
        message_id=properties.message_id,
        login=_login(properties),
        signer=properties.user_id,
        is_trusted=trusted,
        reason=reason_of(delivery),
        detail=_detail(headers.get(DETAIL)),
        lane=delivery.lane,
        attempt=trail.attempt,
        replayed=trail.replayed,
        published_at=trail.first_published if trail.first_published < now else None,
        died_at=died_at(headers, now),
        recipients=_recipients(delivery, trail),
        size=len(delivery.body),
        body=state_of(delivery.body),
        app_id=properties.app_id,
        traceparent=traceparent if isinstance(traceparent, str) else None,
        deaths={} if is_ours(delivery) else deaths_in(headers),
    )


def identity(delivery: Delivery) -> str:
    """Return what tells a dead letter from any other, and stays while it lies there: 12 digits.

    The same after an export and an import too, which another login may sign.
    """
    properties, headers = delivery.properties, delivery.properties.headers
    told = [
        properties.message_id,
        _login(properties),
        *(_plain(headers.get(name)) for name in OURS if name != LOGIN),
        died_ms(headers),
    ]
    mark = fingerprint(json.dumps(told), delivery.body)
    return hashlib.blake2b(mark, digest_size=ID_BYTES).hexdigest()


def is_trusted(properties: Properties, trusted_logins: AbstractSet[str]) -> bool:
    """Return whether there is nothing to believe, or a login that is believed has signed it."""
    return properties.user_id in trusted_logins or not any(
        name in properties.headers for name in (*OURS, REASON)
    )


def trail_of(
    delivery: Delivery, trusted_logins: AbstractSet[str], now: datetime, *, believe: bool = False
) -> Trail:
    """Return where a message stood when it died; with `believe`, as it claims, whoever signed."""
    properties = delivery.properties
    if believe and not is_trusted(properties, trusted_logins):
        return claimed_trail(properties, now)
    return read_trail(properties, trusted_logins, now)


def _login(properties: Properties) -> str:
    login = properties.headers.get(LOGIN)
    return login if isinstance(login, str) else properties.user_id or ""


def _recipients(delivery: Delivery, trail: Trail) -> tuple[str, ...]:
    if trail.pending is not None:
        return trail.pending
    email = parse_valid(delivery.body)
    return () if email is None else email.recipients


def _detail(told: object) -> Mapping[str, Any]:
    try:
        found = json.loads(told) if isinstance(told, str) else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _plain(value: object) -> object:
    if isinstance(value, list):
        return [str(each) for each in value]
    return None if value is None else str(value)
