"""What a dead letter tells of itself: ours by its headers, RabbitMQ's own by their `x-death`."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import field
from datetime import UTC, datetime
from typing import Any, Final

from consumer.core.contract import parse_valid
from consumer.core.dead_body import BodyState, state_of
from consumer.core.delivery import Delivery, Properties
from consumer.core.followup import DETAIL, LANE, LAST_ATTEMPT_MS, REASON, is_ours
from consumer.core.ledger import fingerprint
from consumer.core.record import record
from consumer.core.trail import LOGIN, OURS, Trail, claimed_trail, read_trail
from publisher_lib.routing import TRACE_HEADERS, Lane

UNKNOWN: Final = "unknown"
RABBITMQ: Final = "rabbitmq_"
"""Before the reason of one that RabbitMQ moved by itself: `rabbitmq_delivery_limit`."""

BROKERS_REASON: Final = re.compile(RABBITMQ + r"[a-z_]{1,40}")

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
        deaths={} if is_ours(delivery) else _deaths(headers),
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


def reason_of(delivery: Delivery) -> str:
    """Return a reason of ours, RabbitMQ's own after `rabbitmq_`, or `unknown`."""
    headers = delivery.properties.headers
    if is_ours(delivery):
        return str(headers[REASON])
    if BROKERS_REASON.fullmatch(str(headers.get(REASON))):
        return str(headers[REASON])
    told = str(next(iter(_x_death(headers)), {}).get("reason") or "")
    reason = RABBITMQ + re.sub(r"[^a-z]", "_", told.lower())
    return reason if told and BROKERS_REASON.fullmatch(reason) else UNKNOWN


def lane_of(headers: Mapping[str, Any]) -> Lane:
    """Return the lane it came from, by its headers; else the transactional one."""
    told = [str(headers.get(LANE))]
    told += [str(death.get("queue")).removeprefix("email.") for death in _x_death(headers)]
    for name in told:
        for lane in Lane:
            if name.partition(".")[0] == lane:
                return lane
    return Lane.TRANSACTIONAL


def died_at(headers: Mapping[str, Any], now: datetime) -> datetime | None:
    """Return since when it is a dead letter; None where it does not credibly say."""
    told = died_ms(headers)
    if told is None:
        return None
    return now if told >= now.timestamp() * 1000 else datetime.fromtimestamp(told / 1000, UTC)


def died_ms(headers: Mapping[str, Any]) -> int | None:
    """Return when it says that it died, in Unix milliseconds."""
    told = headers.get(LAST_ATTEMPT_MS)
    if isinstance(told, int) and not isinstance(told, bool) and told > 0:
        return told
    moment = next(iter(_x_death(headers)), {}).get("time")
    try:
        # Of an export, as text.
        moment = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    except ValueError:
        return None
    if not isinstance(moment, datetime):
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


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


def _x_death(headers: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    told = headers.get("x-death")
    return [each for each in told if isinstance(each, dict)] if isinstance(told, list) else []


def _deaths(headers: Mapping[str, Any]) -> Mapping[str, int]:
    counted: Counter[str] = Counter()
    for death in _x_death(headers):
        count = death.get("count")
        counted[f"{death.get('queue')}: {death.get('reason')}"] += (
            count if isinstance(count, int) else 1
        )
    return dict(counted)


def _plain(value: object) -> object:
    if isinstance(value, list):
        return [str(each) for each in value]
    return None if value is None else str(value)
