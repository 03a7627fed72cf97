"""Messages on their way from a queue of an earlier layout into one of today's."""

import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from consumer.core.delivery import Delivery
from consumer.core.disposition import DeadLetter, Reason
from consumer.core.followup import back_to_lane, followups
from consumer.core.handled import Followup, Verdict
from consumer.core.outcome import Defect, Undecodable, Violation
from consumer.core.record import record
from consumer.core.topology import DEAD_QUEUE, Queue, Topology
from consumer.core.trail import claimed_trail, forged, read_trail, trail_headers

VERSIONED: Final = re.compile(r"(?P<stem>.+)\.v(?P<version>\d+)")

OURS: Final = "x-hopmail-"

WHY_DEAD: Final = ("x-death", "x-first-death-", "x-last-death-")
"""RabbitMQ's; where it may dead-letter the copy again, an older one drops it as a cycle."""

NOT_COPIED: Final = ("x-delivery-count", "x-acquired-count", "cc", "bcc")
"""Counts of the old queue, and further routing keys: a copy would go to these anew."""


@record
class Pair:
    """A queue whose messages are to go to another, which is of today's topology."""

    old: str
    new: Queue


@record
class Copy:
    """What a message's copy has that may differ from it; `user_id` None: nobody signed it."""

    headers: Mapping[str, Any]
    user_id: str | None


def former_names(queue: str) -> tuple[str, ...]:
    """Return what a queue may have been called before its version: v2 was v1, v0, or had none."""
    found = VERSIONED.fullmatch(queue)
    if found is None:
        return ()
    earlier = (f"{found['stem']}.v{version}" for version in range(int(found["version"])))
    return found["stem"], *earlier


def pairs(topology: Topology) -> Iterator[Pair]:
    """Yield each queue of today's with each name that it may have had."""
    for queue in topology.queues:
        for name in former_names(queue.name):
            yield Pair(name, queue)


def pair(topology: Topology, old: str, new: str | None) -> Pair:
    """Return the pair of a queue and `new`, or the one of today's that was called so.

    Raises ValueError, which says what can be named.
    """
    for queue in topology.queues:
        if queue.name == new or (new is None and old in former_names(queue.name)):
            if queue.name == old:
                raise ValueError(f"{old} is to be moved to itself")
            return Pair(old, queue)
    names = ", ".join(queue.name for queue in topology.queues)
    problem = f"{new} is none of" if new else f"say where {old} is to be moved:"
    raise ValueError(f"{problem} {names}")


def untrusted(
    delivery: Delivery, into: Queue, trusted_logins: AbstractSet[str]
) -> Undecodable | None:
    """Return what is wrong with a copy of the consumer's that a login signed we do not believe."""
    if into.name == DEAD_QUEUE and delivery.properties.user_id is None:
        # As a consumer leaves it there for just that reason.
        return None
    return forged(delivery.properties, trusted_logins)


def copied(
    delivery: Delivery, into: Queue, login: str, trusted_logins: AbstractSet[str], now: datetime
) -> Copy:
    """Return the copy of a message that we may believe.

    RabbitMQ lets nobody but `webapp` publish what `webapp` signed. So we sign the copy of that
    ourselves, and the trail tells who published it: the ledger knows both by the same key.
    """
    signer = delivery.properties.user_id
    kept = {
        name: value
        for name, value in delivery.properties.headers.items()
        if not _is_left_behind(name, into)
    }
    if signer in {None, login}:
        return Copy(kept, signer)
    if signer not in trusted_logins:
        # Ours alone to write: signed by us, they would be believed.
        kept = {name: value for name, value in kept.items() if not name.startswith(OURS)}
    trail = read_trail(delivery.properties, trusted_logins, now)
    return Copy({**kept, **trail_headers(trail)}, login)


def shortened(
    delivery: Delivery, login: str, trusted_logins: AbstractSet[str], now: datetime
) -> Copy:
    """Return the copy of a message whose headers cannot be written again: with what we read."""
    trail = read_trail(delivery.properties, trusted_logins, now)
    return Copy(back_to_lane(delivery, trail).headers, login)


def given_up(
    delivery: Delivery, defect: Undecodable, trusted_logins: AbstractSet[str], now: datetime
) -> Followup:
    """Return the dead letter of a message that cannot be copied: as a consumer would write it."""
    is_trusted = defect.defect is not Defect.UNTRUSTED_HEADERS
    trail = (
        read_trail(delivery.properties, trusted_logins, now)
        if is_trusted
        else claimed_trail(delivery.properties, now)
    )
    verdict = Verdict(trail.pending or (), defect, DeadLetter(Reason(defect.defect.value)))
    (letter,) = followups(delivery, trail, (verdict,), now)
    return replace(letter, is_signed=is_trusted)


def undecodable(delivery: Delivery) -> Undecodable | None:
    """Return what is wrong with a message whose headers could not be read."""
    reason = delivery.properties.undecodable
    if not reason:
        return None
    return Undecodable(Defect.UNDECODABLE_PROPERTIES, (Violation("properties", reason),))


def _is_left_behind(name: str, into: Queue) -> bool:
    if name.lower() in NOT_COPIED:
        return True
    return into.name != DEAD_QUEUE and name.startswith(WHY_DEAD)
