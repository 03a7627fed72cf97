"""Where the mail of a message can be, in the words of `hopmail lookup`."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from consumer.core.record import record

TAKEN_AWAY: Final = (
    "was dead-lettered, and its dead letter is there no more: it was sent again and waits in its"
    " lane, or was taken out"
)
UNSEEN: Final = "was dead-lettered; whether it lies there still could not be seen"


class Place(StrEnum):
    """Where it can be. A closed set, for scripts."""

    ACCEPTED = "accepted"
    SETTLED = "settled"
    """A copy of it was acked as a duplicate: how the first one ended is not told."""
    IN_HANDS = "in_hands"
    WAITS = "waits"
    IN_DOUBT = "in_doubt"
    DEAD_LETTER = "dead_letter"
    FORMER_DEAD_LETTER = "former_dead_letter"
    UNKNOWN = "unknown"


@record
class Whereabouts:
    """Where the mail for `count` recipients is; `names` are those of them that are known.

    `is_certain`: it was seen there, or is kept so; else it is inferred. `said` are the words of
    others: they may hold addresses. `until`: about when it comes, or came, back to its lane.
    """

    place: Place
    text: str
    is_certain: bool
    count: int = 1
    names: tuple[str, ...] = ()
    said: str = ""
    until: datetime | None = None


@record
class Looked:
    """When it was looked, whether into the dead-letter queue, and the shortest retry delay."""

    now: datetime
    dead_letters: bool
    shortest_delay: timedelta
