"""What is under way in this process at one moment."""

import math
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta

from consumer.core.delivery import Delivery
from consumer.core.record import record
from consumer.core.trail import is_copy, read_trail
from publisher_lib.routing import Lane


@record
class Flow:
    """Deliveries, sessions and holds.

    `received` counts deliveries by lane and whether they were redelivered, `connections` those
    made to consume; both since the process began. `prefetch` is the most deliveries that may be
    unacked. `oldest_held` is a Unix time, 0 for a lane of which none is held. `holders` say why
    one lane or all are not consumed; `paused` are the lanes that an operator holds.
    """

    received: Mapping[tuple[Lane, bool], int]
    connections: int
    in_flight: Mapping[Lane, int]
    prefetch: Mapping[Lane, int]
    oldest_held: Mapping[Lane, float]
    sessions_open: Mapping[str, int]
    holders: AbstractSet[str]
    paused: AbstractSet[Lane] = frozenset()


def count_by_lane(deliveries: Iterable[Delivery]) -> Mapping[Lane, int]:
    """Return how many there are of each lane."""
    counts = dict.fromkeys(Lane, 0)
    for delivery in deliveries:
        counts[delivery.lane] += 1
    return counts


def oldest_by_lane(
    deliveries: Iterable[Delivery],
    trusted_logins: AbstractSet[str],
    now: datetime,
    now_seconds: float,
) -> Mapping[Lane, float]:
    """Return since when the oldest of each lane has waited, as Unix time; 0: there is none.

    That is since it was published. What does not say counts from its arrival, as does a copy that
    had to wait for its time, be it that of another attempt or its `send_at`: it is late by design.
    `now_seconds` is `now` on the monotonic clock.
    """
    oldest = dict.fromkeys(Lane, 0.0)
    for delivery in deliveries:
        came = now - timedelta(seconds=now_seconds - delivery.received_seconds)
        since = came
        if not is_copy(delivery.properties, trusted_logins):
            since = read_trail(delivery.properties, trusted_logins, came).first_published
        oldest[delivery.lane] = min(oldest[delivery.lane] or math.inf, since.timestamp())
    return oldest
