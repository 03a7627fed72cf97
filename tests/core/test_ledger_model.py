"""Every way in which a message with one recipient may go, by the ledger's real rules: none is lost.

All states that can be reached are tried, within a few epochs, attempts and copies: any copy is
delivered at any time, a process dies at any point, a person sends dead letters again and is
interrupted.
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from consumer.core.ledger import Claim, Entry, Generation, Key, State, Wanted, claim_of

MOST = Generation(2, 3)
MOST_COPIES = 4
PRINT = b"p" * 16
FIRST = Generation(0, 1)

Generations = tuple[Generation, ...]


class Known(NamedTuple):
    """What is in the ledger, in the lane or the ladder, and among the dead letters.

    Of a person's word, or the relay's acceptance, nothing is lost any more: `is_settled`.
    """

    entry: tuple[Generation, State] | None
    copies: Generations
    letters: Generations
    is_settled: bool = False


def claimed(known: Known, generation: Generation) -> Claim:
    wanted = Wanted(Key("webapp", "m-1"), generation, PRINT, ("a",))
    entries = {} if known.entry is None else {"a": Entry(*known.entry, PRINT)}
    return claim_of(wanted, entries)


def without(some: Generations, one: Generation) -> Generations:
    at = some.index(one)
    return some[:at] + some[at + 1 :]


def plus(some: Generations, one: Generation) -> Generations:
    return tuple(sorted((*some, one)))


def delivered(known: Known, copy: Generation) -> Iterator[tuple[str, Known]]:
    """What may come of a copy that a process gets."""
    rest = without(known.copies, copy)
    claim = claimed(known, copy)
    if not claim.held:
        yield "skipped, acked", known._replace(copies=rest)
        return
    undone = copy, State.DOUBTFUL if claim.doubtful else State.OPEN
    yield "died", known._replace(entry=undone)
    if not claim.doubtful:
        yield "accepted", Known((copy, State.ACCEPTED), rest, known.letters, is_settled=True)
        yield "died after the dot", known._replace(entry=(copy, State.DOUBTFUL))
    onward = Generation(copy.epoch, copy.attempt + 1)
    if onward.attempt <= MOST.attempt:
        copies = plus(known.copies, onward)
        done = onward, State.OPEN
        yield "retried", known._replace(entry=done, copies=plus(rest, onward))
        yield "retried, died before the ack", known._replace(entry=done, copies=copies)
        yield "retried, died before the commit", known._replace(entry=undone, copies=copies)
    replay = Generation(copy.epoch + 1, copy.attempt)
    if replay.epoch <= MOST.epoch:
        letters = plus(known.letters, replay)
        yield "given up, died before the commit", known._replace(entry=undone, letters=letters)
        for state in (State.DEAD, State.HELD):
            done = copy, state
            yield f"{state.name}", known._replace(entry=done, copies=rest, letters=letters)
            yield f"{state.name}, died before the ack", known._replace(entry=done, letters=letters)


def by_hand(known: Known, letter: Generation) -> Iterator[tuple[str, Known]]:
    """What a person may do with a dead letter."""
    rest = without(known.letters, letter)
    again = Generation(letter.epoch, 1)
    yield "resent", known._replace(copies=plus(known.copies, again), letters=rest)
    yield "resent, died before the ack", known._replace(copies=plus(known.copies, again))
    yield "put back", known._replace(copies=plus(known.copies, letter), letters=rest)
    claim = claimed(known, again)
    if claim.held:
        undone = again, State.DOUBTFUL if claim.doubtful else State.OPEN
        yield "taken as sent, died before that", known._replace(entry=undone)


def steps(known: Known) -> Iterator[tuple[str, Known]]:
    for copy in sorted(set(known.copies)):
        for what, after in delivered(known, copy):
            yield f"{tuple(copy)} {what}", after
    for letter in sorted(set(known.letters)):
        for what, after in by_hand(known, letter):
            yield f"dead letter {tuple(letter)} {what}", after


def story(reached: dict[Known, tuple[str, Known] | None], known: Known) -> list[str]:
    """Return how it came to this."""
    told: list[str] = []
    while (step := reached[known]) is not None:
        told.append(step[0])
        known = step[1]
    return told[::-1]


def test_no_message_is_lost_whatever_happens() -> None:
    start = Known(None, (FIRST,), ())
    reached: dict[Known, tuple[str, Known] | None] = {start: None}
    waiting = deque([start])
    while waiting:
        known = waiting.popleft()
        if known.is_settled:
            continue
        assert known.copies or known.letters, story(reached, known)
        for what, after in steps(known):
            if len(after.copies) + len(after.letters) <= MOST_COPIES and after not in reached:
                reached[after] = what, known
                waiting.append(after)

    assert len(reached) > 10_000
