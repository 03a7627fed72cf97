"""What earlier attempts left in a message's headers: the `x-hopmail-*` ones, which are ours."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import Any, Final

from consumer.core.delivery import Properties
from consumer.core.ledger import Generation, Key
from consumer.core.outcome import Defect, Undecodable, Violation
from consumer.core.record import record
from publisher_lib.limits import MAX_RECIPIENTS
from publisher_lib.routing import PUBLISHED_AT_MS

ATTEMPT: Final = "x-hopmail-attempt"
EPOCH: Final = "x-hopmail-epoch"
FIRST_PUBLISHED_MS: Final = "x-hopmail-first-published-ms"
PENDING: Final = "x-hopmail-pending"
LOGIN: Final = "x-hopmail-login"
REPLAYED: Final = "x-hopmail-replayed"
REPLAYED_AT_MS: Final = "x-hopmail-replayed-at-ms"

OURS: Final = (ATTEMPT, EPOCH, FIRST_PUBLISHED_MS, PENDING, LOGIN, REPLAYED, REPLAYED_AT_MS)

MOST: Final = 1_000_000
"""No attempt or epoch of ours is higher: what is, was never written here."""

LONGEST_NAME: Final = 512
"""Characters of a recipient, or of a login: more than the contract and AMQP allow."""


@record
class Trail:
    """Where a message stands.

    `pending` are the recipients still owed, None for all of them; `login` is who published it
    in the first place, as the broker checked it; `epoch` counts how often it was dead-lettered,
    `replayed` how often a person had it sent again, the last time at `replayed_at`.
    """

    attempt: int
    first_published: datetime
    pending: tuple[str, ...] | None
    login: str | None
    epoch: int = 0
    replayed: int = 0
    replayed_at: datetime | None = None

    @property
    def asked_for(self) -> datetime:
        """When it was published, or a person had it sent again: since then somebody waits."""
        return max(self.first_published, self.replayed_at or self.first_published)

    @property
    def generation(self) -> Generation:
        """Which copy of the message this is."""
        return Generation(self.epoch, self.attempt)

    def key(self, message_id: str) -> Key:
        """Return what the ledger knows the message by."""
        return Key(self.login or "", message_id)


def read_trail(properties: Properties, trusted_logins: AbstractSet[str], now: datetime) -> Trail:
    """Return the trail; `x-hopmail-*` is believed only from the consumer's and operators' logins.

    RabbitMQ checks `user_id` against the login (https://www.rabbitmq.com/docs/validated-user-id),
    so an app cannot forge how often its message was tried or who is still owed it.
    """
    return (
        _written(properties, now) if properties.user_id in trusted_logins else _new(properties, now)
    )


def is_copy(properties: Properties, trusted_logins: AbstractSet[str]) -> bool:
    """Return whether a message is a copy of ours, or an operator's, of one that came before."""
    return properties.user_id in trusted_logins and FIRST_PUBLISHED_MS in properties.headers


def claimed_trail(properties: Properties, now: datetime) -> Trail:
    """Return the trail that a message claims to have, whoever signed it, if it can be one of ours.

    For a copy that nobody is to believe, so that a person can.
    """
    trail = _written(properties, now)
    pending = trail.pending or ()
    is_ours = (
        len(pending) <= MAX_RECIPIENTS
        and max(map(len, (*pending, trail.login or ""))) <= LONGEST_NAME
    )
    return trail if is_ours else _new(properties, now)


def _new(properties: Properties, now: datetime) -> Trail:
    return Trail(1, _published(properties, now), None, properties.user_id)


def _written(properties: Properties, now: datetime) -> Trail:
    headers = properties.headers
    pending, login = headers.get(PENDING), headers.get(LOGIN)
    first_published = _instant(headers.get(FIRST_PUBLISHED_MS), 1000, now)
    return Trail(
        _count(headers.get(ATTEMPT), least=1),
        first_published or _published(properties, now),
        tuple(map(str, pending)) if isinstance(pending, list) and pending else None,
        (login or None) if isinstance(login, str) else properties.user_id,
        _count(headers.get(EPOCH), least=0),
        _count(headers.get(REPLAYED), least=0),
        _instant(headers.get(REPLAYED_AT_MS), 1000, now),
    )


def forged(properties: Properties, trusted_logins: AbstractSet[str]) -> Undecodable | None:
    """Return what is wrong with a message that has a trail from somebody who may write none.

    An app that sets such headers is mistaken. But a copy of ours has them too, once the consumer
    has another login, and read as a new message it would go to all its recipients again.
    """
    name = next(filter(properties.headers.__contains__, OURS), None)
    if name is None or properties.user_id in trusted_logins:
        return None
    signer = f"the login {properties.user_id!r}" if properties.user_id else "no login (user_id)"
    message = (
        f"is a header of the consumer's, and {signer} signed it: an app must leave it away; if it"
        " is from a former login of the consumer's, or from whoever moves dead letters, name that"
        " login in HOPMAIL_OPERATOR_LOGINS"
    )
    return Undecodable(
        Defect.UNTRUSTED_HEADERS, (Violation(f"properties.headers.{name}", message),)
    )


def trail_headers(trail: Trail) -> Mapping[str, Any]:
    """Return the headers from which `read_trail` reads `trail` back."""
    headers: dict[str, Any] = {
        ATTEMPT: trail.attempt,
        FIRST_PUBLISHED_MS: int(trail.first_published.timestamp() * 1000),
        # Written where there is none, too: our own, which signs the copy, is not the publisher's.
        LOGIN: trail.login or "",
    }
    if trail.epoch:
        headers[EPOCH] = trail.epoch
    if trail.pending is not None:
        headers[PENDING] = list(trail.pending)
    if trail.replayed:
        headers[REPLAYED] = trail.replayed
    if trail.replayed_at is not None:
        headers[REPLAYED_AT_MS] = int(trail.replayed_at.timestamp() * 1000)
    return headers


def _published(properties: Properties, now: datetime) -> datetime:
    return (
        _instant(properties.headers.get(PUBLISHED_AT_MS), 1000, now)
        or _instant(properties.timestamp_seconds, 1, now)
        or now
    )


def _count(value: object, *, least: int) -> int:
    return value if isinstance(value, int) and least <= value <= MOST else least


def _instant(value: object, per_second: int, now: datetime) -> datetime | None:
    """Read a Unix time; a clock ahead of ours counts as now, what is no time as absent."""
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        return None
    if value >= now.timestamp() * per_second:
        return now
    return datetime.fromtimestamp(value / per_second, UTC)
