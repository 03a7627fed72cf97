"""What waits in each queue, and since when at most: as far as it can be told from outside."""

import math
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Final

from consumer.core.delivery import Properties
from consumer.core.record import record
from consumer.core.topology import DEAD_QUEUE, lane_queue, retry_queue
from publisher_lib.routing import PUBLISHED_AT_MS, Lane

UNKNOWN: Final = math.nan

SKEW_SECONDS: Final = 5.0
"""How far a publisher's clock may be ahead of ours; one that is farther proves nothing."""

LONGEST_IN_HANDS_SECONDS: Final = 3600.0
"""For a command that holds dead letters, and shows none of them to others; who consumes them for
longer takes them away."""


class Kind(StrEnum):
    """What messages wait for in a queue: for a session, for their time, for a person."""

    LANE = "lane"
    RETRY = "retry"
    DEAD = "dead"


@record
class Place:
    """A queue. `longest` is how long the broker leaves a message there, if it is not for ever."""

    queue: str
    kind: Kind
    lane: Lane | None = None
    longest: timedelta | None = None


@record
class Count:
    """Ready messages and consumers of a queue, as the broker told them."""

    messages: int
    consumers: int

    @property
    def is_doubtful(self) -> bool:
        """Whether it may mean that the queue could not be asked.

        RabbitMQ tells 0 and 0 of a quorum queue whose leader is away or slow
        (rabbit_quorum_queue:stat/2).
        """
        return not self.messages and not self.consumers


@record
class Stock:
    """What waits in a queue.

    None of it was put there before `oldest_seconds` (Unix time). 0: nothing waits; NaN: not known.
    """

    place: Place
    count: Count
    oldest_seconds: float


def places(delays: tuple[timedelta, ...]) -> tuple[Place, ...]:
    """Return every queue of the topology with a ladder of retry delays."""
    return (
        *(Place(lane_queue(lane), Kind.LANE, lane) for lane in Lane),
        *(
            Place(retry_queue(lane, delay), Kind.RETRY, lane, delay)
            for lane in Lane
            for delay in delays
        ),
        Place(DEAD_QUEUE, Kind.DEAD),
    )


def oldest_seconds(
    place: Place,
    messages: int,
    *,
    now_seconds: float,
    seen_empty_seconds: float | None,
    newest_taken_seconds: float | None,
) -> float:
    """Return the latest moment before which surely none of `messages` was put in the queue.

    Queues are first in, first out. So what waits came after the queue was last seen empty, and
    after the newest message that was taken from it was published. A moment that is well ahead of
    now proves nothing: a clock was set back.
    """
    if not messages:
        return 0.0
    known = [
        min(moment, now_seconds)
        for moment in (seen_empty_seconds, newest_taken_seconds)
        if moment is not None and moment <= now_seconds + SKEW_SECONDS
    ]
    if place.longest is not None:
        known.append(now_seconds - place.longest.total_seconds())
    return max(known, default=UNKNOWN)


def published_seconds(properties: Properties, now_seconds: float) -> float | None:
    """Return when a message was published, in Unix time; None where it does not credibly say.

    A copy that comes from a retry queue says when the first one was: earlier than it came to its
    lane, so that it proves less and nothing wrong.
    """
    said_ms, said = properties.headers.get(PUBLISHED_AT_MS), properties.timestamp_seconds
    found = said_ms / 1000 if isinstance(said_ms, int) else said
    if not found or not 0 < found <= now_seconds + SKEW_SECONDS:
        return None
    return min(float(found), now_seconds)


class Stocks:
    """What is known of the queues from looking at them again and again.

    `seen_empty` holds the moment (Unix time) at which each queue was last seen to be empty, as far
    as that is known from before.
    """

    def __init__(self, places: tuple[Place, ...], seen_empty: Mapping[str, float]) -> None:
        self._places = places
        self._seen_empty = dict(seen_empty)
        self._newest: dict[Lane, float] = {}
        self._told: dict[str, Count] = {}
        self._asked_seconds = 0.0
        self._shown: dict[str, Count] = {}
        self._untouched: dict[str, float] = {}
        self.is_in_doubt = False
        """Whether a queue was told to be empty that may only be away: look again soon."""

    @property
    def seen_empty(self) -> Mapping[str, float]:
        """When each queue was last seen to be empty."""
        return self._seen_empty

    def took(self, lane: Lane, published_seconds: float) -> None:
        """Note that a message of this moment was taken from its lane.

        Thread-safe enough: of two that are noted at once the later may get lost until the next.
        """
        if published_seconds > self._newest.get(lane, 0.0):
            self._newest[lane] = published_seconds

    def look(self, told: Mapping[str, Count], asked_seconds: float) -> tuple[Stock, ...]:
        """Take in what the broker told of the queues when it was asked at `asked_seconds`."""
        # Of a broker that is cut off from the others, all that is told is doubtful.
        is_alive = any(not count.is_doubtful for count in told.values())
        self.is_in_doubt = any(
            count.is_doubtful and not self._was_doubtful(queue) for queue, count in told.items()
        )
        stocks = tuple(
            self._stock(place, told[place.queue], asked_seconds, is_alive=is_alive)
            for place in self._places
            if place.queue in told
        )
        self._told, self._asked_seconds = dict(told), asked_seconds
        return stocks

    def _stock(self, place: Place, count: Count, asked_seconds: float, *, is_alive: bool) -> Stock:
        is_told_again = self._was_doubtful(place.queue)
        is_in_hands = self._is_in_hands(place, count, asked_seconds)
        if is_in_hands:
            count = self._shown.get(place.queue, count)
        elif count.consumers and not count.messages:
            self._seen_empty[place.queue] = asked_seconds
        elif count.is_doubtful and is_told_again and is_alive:
            # One of two in a row is true, and then it was so at the first or after it.
            self._seen_empty[place.queue] = self._asked_seconds
        if not count.is_doubtful or is_told_again or place.queue not in self._shown:
            self._shown[place.queue] = count
        shown = self._shown[place.queue]
        lane = place.lane if place.kind is Kind.LANE else None
        oldest = oldest_seconds(
            place,
            shown.messages,
            now_seconds=asked_seconds,
            seen_empty_seconds=self._seen_empty.get(place.queue),
            newest_taken_seconds=None if lane is None else self._newest.get(lane),
        )
        return Stock(place, shown, oldest)

    def _is_in_hands(self, place: Place, count: Count, asked_seconds: float) -> bool:
        """Return whether a person looks through it: what is ready is not all that lies there."""
        if place.kind is not Kind.DEAD or not count.consumers:
            self._untouched[place.queue] = asked_seconds
            return False
        since = self._untouched.setdefault(place.queue, asked_seconds)
        return asked_seconds - since < LONGEST_IN_HANDS_SECONDS

    def _was_doubtful(self, queue: str) -> bool:
        before = self._told.get(queue)
        return before is not None and before.is_doubtful
