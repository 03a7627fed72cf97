"""What is under way in this process at one moment."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta

from consumer.core.delivery import Delivery
from consumer.core.record import record
from consumer.core.trail import read_trail
from publisher_lib.routing import Lane


@record
class Flow:
    """Deliveries, sessions and holds.

    `received` counts deliveries by lane and whether they were redelivered, `connections` those
    made to consume; both since the process began. `prefetch` is the most deliveries that may be
    unacked. `oldest_held` is a Unix time, 0 for a lane of which none is held. `holders` say why
    one lane or all are not consumed.
    """

    received: Mapping[tuple[Lane, bool], int]
    connections: int
    in_flight: Mapping[Lane, int]
    prefetch: Mapping[Lane, int]
    oldest_held: Mapping[Lane, float]
    sessions_open: Mapping[str, int]
    holders: AbstractSet[str]


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
    """Return when the oldest of each lane was first published, as Unix time; 0: there is none.

    `now_seconds` is `now` on the monotonic clock. What does not say counts from its arrival.
    """
    oldest = dict.fromkeys(Lane, 0.0)
    for delivery in deliveries:
        came = now - timedelta(seconds=now_seconds - delivery.received_seconds)
        trail = read_trail(delivery.properties, trusted_logins, came)
        published = trail.first_published.timestamp()
        oldest[delivery.lane] = min(oldest[delivery.lane] or published, published)
    return oldest
