"""A relay's sessions, lent to a thread for a mail: no more at once than the relay allows."""

import threading

from consumer.smtp.handing_over import AnyRelay, AnyTransactor


class Pool:
    """Transactors of one relay, at most `limit` (None: as many as are wanted). Thread-safe.

    The one given back last is lent first, so that sessions nobody needs grow idle and are left.
    """

    def __init__(self, relay: AnyRelay, limit: int | None) -> None:
        self._relay = relay
        self._limit = limit
        self._made: list[AnyTransactor] = []
        self._idle: list[AnyTransactor] = []
        self._lent = 0
        self._freed = threading.Condition()

    @property
    def sessions_open(self) -> int:
        """How many sessions there are now, lent or not."""
        with self._freed:
            return sum(transactor.is_open for transactor in self._made)

    def take(self) -> AnyTransactor | None:
        """Return a transactor to be given back; None while all are lent."""
        with self._freed:
            if not self._is_free():
                return None
            self._lent += 1
            return self._idle.pop() if self._idle else self._make()

    def give_back(self, transactor: AnyTransactor) -> None:
        """End the loan."""
        with self._freed:
            self._lent -= 1
            self._idle.append(transactor)
            self._freed.notify()

    def wait(self, timeout_seconds: float) -> None:
        """Wait until a transactor may be free."""
        with self._freed:
            self._freed.wait_for(self._is_free, timeout_seconds)

    def close_idle(self) -> None:
        """Leave the relay with the sessions that have had nothing to do for long, or have ended."""
        for transactor in self._take_idle(spent_only=True):
            transactor.close()
            self.give_back(transactor)

    def close(self) -> None:
        """Leave the relay with every session that is not lent."""
        for transactor in self._take_idle():
            transactor.close()
            self.give_back(transactor)

    def drop(self) -> None:
        """Cut every connection that is not lent: of a relay in trouble no goodbye is awaited."""
        for transactor in self._take_idle():
            transactor.drop()
            self.give_back(transactor)

    def _make(self) -> AnyTransactor:
        made = self._relay.transactor()
        self._made.append(made)
        return made

    def _is_free(self) -> bool:
        return self._limit is None or self._lent < self._limit

    def _take_idle(self, *, spent_only: bool = False) -> list[AnyTransactor]:
        # Lent meanwhile: a session that is being left still counts at the relay. One that serves
        # stays: whoever found none would open another.
        with self._freed:
            taken = [each for each in self._idle if each.is_spent or not spent_only]
            self._idle = [each for each in self._idle if each not in taken]
            self._lent += len(taken)
            return taken
