"""Hands a mail to the first relay that can take it, and to the next only while that is safe."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from consumer.core.answer import Answer
from consumer.core.envelope import Envelope
from consumer.core.outcome import Unreachable
from consumer.core.transaction import Transaction, worst_of
from consumer.smtp.breaker import LOOK_SECONDS
from consumer.smtp.commands import Lacking
from consumer.smtp.member import Member, Turn
from consumer.smtp.passing import Passing
from consumer.smtp.relay import LONGEST_BEFORE_DOT_SECONDS
from consumer.smtp.session import Ahead, BeforeDot

log = logging.getLogger(__name__)

TURN_SECONDS: Final = 1.0
"""How long a mail waits in a thread for its turn; others may pass it when it goes back then."""

TIDY_SECONDS: Final = 5.0
"""Between looks for idle sessions, by a thread that is never idle itself."""


class Failover:
    """Transactions one after the other, for one thread; `stop` ends every wait for a turn."""

    def __init__(self, members: Sequence[Member], stop: threading.Event) -> None:
        self._members = members
        self._stop = stop
        self._turn: Turn | None = None
        self._kept: Turn | None = None
        """Of a relay that was told of the next mail ahead."""
        self._blamed: Member | None = None
        self._tidied_seconds = time.monotonic()

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """Wait shortly for a relay that takes a mail now; False where none does, or at a stop.

        The turn is for the next `transact`; it is over with the block.
        """
        if time.monotonic() - self._tidied_seconds > TIDY_SECONDS:
            self.close_if_idle()
        self._turn = self._kept_turn() or self._wait_for_turn(self._members)
        try:
            yield self._turn is not None
        finally:
            turn, self._turn = self._turn, None
            if turn is not None:
                turn.end(used=False)

    def transact(
        self,
        envelope: Envelope,
        content: bytes,
        before_dot: BeforeDot,
        ahead: Ahead | None = None,
        note: Callable[[Transaction], None] = lambda _transaction: None,
    ) -> Answer:
        """Hand one mail over and return what became of each recipient. Raises GivenBack.

        As with one relay; but where that cannot be reached, lacks what the mail needs, or is lost
        before the final dot, the next is asked. Once the kernel has a byte of the dot it is not,
        and what a relay says about mail or recipient is an answer. `note` is told of each relay
        that was asked.
        """
        self._blamed = None
        until = time.monotonic() + LONGEST_BEFORE_DOT_SECONDS
        passing = Passing(envelope, len(self._members))

        def ask(turn: Turn) -> Unreachable | None:
            is_first = turn.member is next(self._healthy(), turn.member)
            return _ask(turn, passing, content, before_dot, ahead if is_first else None, note=note)

        untried = list(self._members)
        turn, self._turn = self._turn or self._wait_for_turn(untried), None
        while turn is not None:
            untried.remove(turn.member)
            others = untried if time.monotonic() < until else ()
            turn = self._pass_by(turn, others, passing, ask)
        return passing.answer()

    def open(self, trouble: Unreachable) -> None:
        """Open the breaker of the relay whose trouble the last `transact` answered with.

        Of the others that it met it has done so already. Whether the last one's is the relay's
        own, or this mail's (a login wanted of one sender), is the caller's to know.
        """
        if self._blamed is not None:
            self._blamed.breaker.open(trouble)

    def let_go(self) -> None:
        """Have no relay wait for a mail it was told of ahead: that one does not come now."""
        turn, self._kept = self._kept, None
        if turn is not None:
            turn.end(used=True)

    def close_if_idle(self) -> None:
        """Leave relays with sessions that have had nothing to do for long, whoever used them."""
        self._tidied_seconds = time.monotonic()
        for member in self._members:
            member.pool.close_idle()

    def close(self) -> None:
        """Leave every relay with the sessions that are not in use."""
        self.let_go()
        for member in self._members:
            member.pool.close()

    def _pass_by(
        self,
        turn: Turn,
        untried: Sequence[Member],
        passing: Passing,
        ask: Callable[[Turn], Unreachable | None],
    ) -> Turn | None:
        """Ask one relay; return the turn at another, where one may and can be asked."""
        used = True
        try:
            trouble = ask(turn)
            used = trouble is None
            onward = None if passing.is_over else self._wait_for_turn(untried)
            if trouble is not None and (onward or not passing.blames_the_last):
                turn.member.breaker.open(trouble)
            elif trouble is not None:
                self._blamed = turn.member
            if onward is not None:
                fields = {"relay": turn.member.name, "next": onward.member.name}
                log.info("passed on", extra=fields)
            return onward
        finally:
            if turn.transactor.is_told:
                self._kept = turn
            else:
                turn.end(used=used)

    def _healthy(self) -> Iterator[Member]:
        return (member for member in self._members if not member.breaker.is_open)

    def _kept_turn(self) -> Turn | None:
        turn, self._kept = self._kept, None
        if turn is not None and turn.member.breaker.is_open:
            turn.end(used=True)
            return None
        return turn

    def _wait_for_turn(self, members: Sequence[Member]) -> Turn | None:
        until = time.monotonic() + TURN_SECONDS
        while not self._stop.is_set():
            healthy = [member for member in members if not member.breaker.is_open]
            turn = self._turn_at(healthy)
            if turn is not None:
                return turn
            if not healthy or time.monotonic() > until:
                return None
        return None

    def _turn_at(self, healthy: Sequence[Member]) -> Turn | None:
        """Return a turn at the first that has one; None after a wait for it.

        One whose sessions are all lent is passed over, for it does all it can. One that would
        exceed its rate is not: the rate is what it is to get.
        """
        for member in healthy:
            found = member.turn()
            if isinstance(found, Turn):
                return found
            if found is not None:
                self._stop.wait(min(found, LOOK_SECONDS))
                return None
        if healthy:
            healthy[0].pool.wait(LOOK_SECONDS)
        return None


def _ask(
    turn: Turn,
    passing: Passing,
    content: bytes,
    before_dot: BeforeDot,
    ahead: Ahead | None,
    *,
    note: Callable[[Transaction], None],
) -> Unreachable | None:
    # Each mail needs its own token of a rate.
    ahead = ahead if turn.member.pace is None else None
    try:
        answer = turn.transactor.transact(passing.envelope, content, before_dot, ahead)
    except Lacking as lacking:
        passing.lacks(lacking.refused)
        return None
    seconds = turn.transactor.transaction_seconds
    note(Transaction(turn.member.name, worst_of(answer), seconds))
    return passing.answered(answer)
