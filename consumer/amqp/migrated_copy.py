"""The copy of a message that goes to another queue: whom it is signed by, and what it can carry."""

import copy
import time
from datetime import UTC, datetime
from typing import Any, Final

from consumer.amqp.old_queues import MigrationStopped
from consumer.amqp.properties import PERSISTENT, copy_properties, read_properties
from consumer.core.delivery import Delivery
from consumer.core.followup import LANE
from consumer.core.migration import Copy, Pair, copied, given_up, shortened, undecodable, untrusted
from consumer.core.outcome import Undecodable
from consumer.core.record import record
from publisher_lib.routing import Lane

MAX_HEADER_BYTES: Final = 65_536
"""As in a follow-up: a frame breaks at 131 064."""


@record
class Signing:
    """Who signs copies, and whose signature is believed.

    `gives_up_untrusted`: what has the consumer's headers and none of these signatures becomes a
    dead letter; else it stops the migration.
    """

    login: str
    trusted_logins: frozenset[str]
    gives_up_untrusted: bool = False


@record
class ToPublish:
    """Where a copy goes, with which of pika's properties; `is_dead`: it is a dead letter."""

    exchange: str
    routing_key: str
    properties: Any
    is_dead: bool = False


def copy_of(pair: Pair, signing: Signing, method: Any, properties: Any, body: bytes) -> ToPublish:
    """Return the copy of a message as pika gave it to us.

    Raises MigrationStopped where it has a signer who is not believed, and is not to be given up.
    """
    delivery = _delivery(pair, method, properties, body)
    now = datetime.now(UTC)
    if (wrong := undecodable(delivery)) is not None:
        return _given_up(delivery, wrong, signing, now)
    login, trusted = signing.login, signing.trusted_logins
    if (wrong := untrusted(delivery, pair.new, trusted)) is not None:
        if not signing.gives_up_untrusted:
            raise MigrationStopped(
                f"{pair.old}: message {delivery.properties.message_id}:"
                f" {wrong.violations[0].message}; run this with the consumer's"
                " HOPMAIL_AMQP_URL, or say --give-up-untrusted to make it a dead letter"
            )
        return _given_up(delivery, wrong, signing, now)
    written = _written(properties, copied(delivery, pair.new, login, trusted, now))
    if not _can_be_written(written):
        written = _written(properties, shortened(delivery, login, trusted, now))
    return ToPublish(pair.new.exchange, pair.new.routing_key, written)


def _delivery(pair: Pair, method: Any, properties: Any, body: bytes) -> Delivery:
    return Delivery(
        lane=_lane(pair, properties.headers or {}),
        tag=method.delivery_tag,
        generation=0,
        redelivered=method.redelivered,
        properties=read_properties(properties),
        body=body,
        received_seconds=time.monotonic(),
    )


def _given_up(delivery: Delivery, wrong: Undecodable, signing: Signing, now: datetime) -> ToPublish:
    letter = given_up(delivery, wrong, signing.trusted_logins, now)
    written = copy_properties(delivery, letter, signing.login)
    return ToPublish(letter.exchange, letter.routing_key, written, is_dead=True)


def _written(properties: Any, changed: Copy) -> Any:
    """Return properties as they were, but for what changed; on disk in any case."""
    written = copy.copy(properties)
    written.headers = dict(changed.headers) or None
    written.user_id = changed.user_id
    written.delivery_mode = PERSISTENT
    return written


def _can_be_written(properties: Any) -> bool:
    try:
        return sum(map(len, properties.encode())) <= MAX_HEADER_BYTES
    except Exception:  # noqa: BLE001 - pika reads values that it cannot write, and raises what struct does
        return False


def _lane(pair: Pair, headers: dict[str, Any]) -> Lane:
    names = (pair.new.routing_key.partition(".")[0], str(headers.get(LANE)))
    return next((lane for lane in Lane if lane in names), Lane.TRANSACTIONAL)
