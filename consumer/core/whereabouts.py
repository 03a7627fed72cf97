"""Where the mail of one message is now, recipient by recipient: what is known, what is inferred.

Lanes and retry queues are not looked into: to get a message and put it back counts as a delivery of
it, and moves it behind others. What waits there is inferred from what was last done with it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from consumer.core.found import DeadSeen, Holder, Known, KnownRecipient, Line
from consumer.core.ledger import State
from consumer.core.places import TAKEN_AWAY, UNSEEN, Looked, Place, Whereabouts
from consumer.core.whereabouts_by_log import all_by_log, open_by_log


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
        found += all_by_log(lines, looked)
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
            return open_by_log(attempt, lines, looked)


def _together(found: Iterable[Whereabouts]) -> Iterator[Whereabouts]:
    """Yield each place once, with all who are there, in the order in which they came."""
    alike: dict[Whereabouts, list[Whereabouts]] = {}
    for each in found:
        alike.setdefault(replace(each, count=0, names=()), []).append(each)
    for what, some in alike.items():
        count = sum(each.count for each in some)
        yield replace(what, count=count, names=tuple(name for each in some for name in each.names))
