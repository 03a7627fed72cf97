"""Where the mail of one message is now, recipient by recipient: what is known, what is inferred.

Lanes and retry queues are not looked into: to get a message and put it back counts as a delivery of
it, and moves it behind others. What waits there is inferred from what was last done with it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from consumer.core.found import (
    HANDLED,
    DeadSeen,
    Holder,
    Known,
    KnownRecipient,
    Line,
    Told,
    attempt_of,
    verdicts_of,
)
from consumer.core.ledger import State
from consumer.core.record import record

SET_ASIDE: Final = "waits for another process"
"""The event of the line when a mail is set aside."""

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


def whereabouts(
    known: Known | None, dead: Sequence[DeadSeen], lines: Sequence[Line], looked: Looked
) -> tuple[Whereabouts, ...]:
    """Return where the mail of a login's message is; empty where nothing tells.

    `lines` are those of the log that are certainly about it, in the order of their time.
    """
    found = [_of_dead(each) for each in dead]
    if known is not None:
        found += _of_known(known, dead, lines, looked)
    elif not dead:
        found += _of_lines(lines, looked)
    return tuple(_together(found))


def _of_dead(each: DeadSeen) -> Whereabouts:
    doubt = "" if each.is_believed else ", so its header says, which nobody vouches for"
    names = each.pending or ()
    return Whereabouts(
        Place.DEAD_LETTER,
        f"lies in the dead-letter queue{doubt}",
        is_certain=True,
        count=len(names),
        names=names,
        said=each.reason,
    )


def _of_known(
    known: Known, dead: Sequence[DeadSeen], lines: Sequence[Line], looked: Looked
) -> Iterator[Whereabouts]:
    buried = {name for each in dead for name in each.pending or ()}
    is_whole_buried = any(each.pending is None for each in dead)
    for each in known.recipients:
        is_seen = each.name in buried or is_whole_buried
        # Accepted and yet a dead letter: whoever took it as sent was interrupted.
        if not is_seen or each.state is State.ACCEPTED:
            yield replace(_of_recipient(each, lines, looked), names=(each.name,))


def _of_recipient(each: KnownRecipient, lines: Sequence[Line], looked: Looked) -> Whereabouts:
    attempt = each.generation.attempt
    match each.state:
        case State.ACCEPTED:
            text = "accepted by the relay"
            return Whereabouts(Place.ACCEPTED, text, is_certain=True, said=each.note)
        case State.HELD | State.DEAD if looked.dead_letters:
            return Whereabouts(Place.FORMER_DEAD_LETTER, TAKEN_AWAY, is_certain=False)
        case State.HELD | State.DEAD:
            return Whereabouts(Place.DEAD_LETTER, UNSEEN, is_certain=False)
        case State.DOUBTFUL if each.holder is Holder.LIVING:
            text = f"a living process is sending it, attempt {attempt}: its final dot is due or out"
            return Whereabouts(Place.IN_HANDS, text, is_certain=True)
        case State.DOUBTFUL:
            text = (
                "in doubt: whoever sent it ended after the final dot and before the answer was"
                " kept; the broker gives it to a consumer, which sends it again or holds it"
            )
            return Whereabouts(Place.IN_DOUBT, text, is_certain=False)
        case _ if each.holder is Holder.LIVING:
            text = f"a living process has it in hands, attempt {attempt}: its final dot is not out"
            return Whereabouts(Place.IN_HANDS, text, is_certain=True)
        case _ if each.holder is Holder.ENDED:
            text = (
                f"a process ended with it in hands, attempt {attempt}, surely not sent: the broker"
                " gives it to a consumer again"
            )
            return Whereabouts(Place.WAITS, text, is_certain=False)
        case _:
            return _of_open(attempt, lines, looked)


def _of_open(attempt: int, lines: Sequence[Line], looked: Looked) -> Whereabouts:
    """Return where a copy waits that nobody has in hands: by the line that tells of its retry."""
    for line in reversed(lines):
        for verdict in verdicts_of(line) if line.event == HANDLED else ():
            if verdict.disposition == "retry" and _next_attempt(line, verdict) == attempt:
                return _of_retry(line, verdict, looked)
    text = f"owed, attempt {attempt}: waits in a retry queue or in its lane"
    return Whereabouts(Place.WAITS, text, is_certain=False)


def _of_retry(line: Line, verdict: Told, looked: Looked) -> Whereabouts:
    what = f"for attempt {_next_attempt(line, verdict)}"
    if verdict.outcome == "not_due":
        what = "as it is not due yet"
    until = None if verdict.delay is None else line.at + verdict.delay
    is_back = until is not None and until <= looked.now
    text = f"back in its lane {what}: waits for a consumer" if is_back else f"waits {what}"
    return Whereabouts(Place.WAITS, text, is_certain=False, count=verdict.recipients, until=until)


def _next_attempt(line: Line, verdict: Told) -> int:
    return attempt_of(line) + (verdict.outcome != "not_due")


def _of_lines(lines: Sequence[Line], looked: Looked) -> Iterator[Whereabouts]:
    """Yield what the log alone tells: what has ended, and what was last done with the rest."""
    for line in lines:
        is_last = line is lines[-1]
        for verdict in verdicts_of(line) if line.event == HANDLED else ():
            if verdict.disposition in {"ack", "dead_letter"}:
                yield _of_ended(verdict, looked)
            elif is_last and verdict.disposition == "retry":
                yield _of_retry(line, verdict, looked)
            elif is_last:
                text = "a consumer keeps it until a relay is back, or gave it back to its lane"
                yield Whereabouts(Place.WAITS, text, is_certain=False, count=verdict.recipients)
        if is_last and line.event != HANDLED:
            yield _of_other(line, looked)


def _of_ended(verdict: Told, looked: Looked) -> Whereabouts:
    count = verdict.recipients
    match verdict.disposition, verdict.outcome:
        case "ack", "accepted":
            text = "accepted by the relay"
            return Whereabouts(
                Place.ACCEPTED, text, is_certain=True, count=count, said=verdict.reply
            )
        case "ack", _:
            text = "settled before: a copy of it was acked as a duplicate"
            return Whereabouts(Place.SETTLED, text, is_certain=True, count=count)
        case _ if looked.dead_letters:
            return Whereabouts(Place.FORMER_DEAD_LETTER, TAKEN_AWAY, is_certain=False, count=count)
        case _:
            return Whereabouts(Place.DEAD_LETTER, UNSEEN, is_certain=False, count=count)


def _of_other(line: Line, looked: Looked) -> Whereabouts:
    if line.event == SET_ASIDE:
        text = "set aside, as another process had worked on it for long"
        until = line.at + looked.shortest_delay
        return Whereabouts(Place.WAITS, text, is_certain=False, count=0, until=until)
    text = "a consumer has had it in hands, and has not told how that ended"
    return Whereabouts(Place.UNKNOWN, text, is_certain=False, count=0)


def _together(found: Iterable[Whereabouts]) -> Iterator[Whereabouts]:
    """Yield each place once, with all who are there, in the order in which they came."""
    alike: dict[Whereabouts, list[Whereabouts]] = {}
    for each in found:
        alike.setdefault(replace(each, count=0, names=()), []).append(each)
    for what, some in alike.items():
        count = sum(each.count for each in some)
        yield replace(what, count=count, names=tuple(name for each in some for name in each.names))
