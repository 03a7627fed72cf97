"""Where mail is by what the log last told of it: that is inferred, but for what has ended."""

from collections.abc import Iterator, Sequence
from typing import Final

from consumer.core.found import HANDLED, Line, Told, attempt_of, replayed_of, verdicts_of
from consumer.core.places import TAKEN_AWAY, UNSEEN, Looked, Place, Whereabouts

SET_ASIDE: Final = "waits for another process"
"""The event of the line when a mail is set aside."""


def open_by_log(attempt: int, lines: Sequence[Line], looked: Looked) -> Whereabouts:
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


def all_by_log(lines: Sequence[Line], looked: Looked) -> Iterator[Whereabouts]:
    """Yield what the log alone tells: what has ended, and what was last done with the rest."""
    replayed = max(map(replayed_of, lines), default=0)
    for line in lines:
        is_last = line is lines[-1]
        for verdict in verdicts_of(line) if line.event == HANDLED else ():
            if verdict.disposition == "dead_letter" and replayed_of(line) < replayed:
                # It was sent again, and what became of it then is told below.
                continue
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
