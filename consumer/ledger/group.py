"""What the ledger commits together, and how."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from consumer.core.ledger import Claim, Ended, Wanted
from consumer.ledger.store import LedgerTrouble, Notes, Store

Granted = Callable[[Sequence[Claim]], None]
"""Gets what was granted of what was wanted, one by one."""


@dataclass(slots=True)
class Group:
    """What is committed together. What failed is tried again, but for what is kept of it."""

    wanted: list[Wanted] = field(default_factory=list)
    granted: list[tuple[int, Granted]] = field(default_factory=list)
    """How many of `wanted`, in their order, each callback has asked for."""
    ended: list[tuple[Ended, Callable[[], None]]] = field(default_factory=list)
    asked: list[tuple[Sequence[bytes], Future[dict[bytes, int]]]] = field(default_factory=list)
    claims: list[Claim] | None = None
    """What was granted of `wanted`, once that is kept."""
    looks_again: bool = False
    """Whether those of `claims` that wait are asked for once more."""

    def __bool__(self) -> bool:
        return bool(self.wanted or self.ended or self.asked)

    def commit(self, store: Store, notes: Notes, wrote: Callable[[float], None]) -> list[Claim]:
        """Return what was granted, once all of it is kept; whose claims ended is told at once.

        `wrote` gets the seconds that the commit took. Raises LedgerTrouble: commit it again.
        """
        self._answer(store)
        if self.claims is None:
            began_seconds = time.monotonic()
            self.claims = store.apply(self.wanted, [each for each, _done in self.ended])
            if self.wanted or self.ended:
                wrote(time.monotonic() - began_seconds)
            self._tell_ended(notes)
        self._look_again(store, self.claims)
        return self.claims

    def tell_granted(self, claims: Sequence[Claim]) -> None:
        """Give each callback the claims that it has asked for."""
        found = iter(claims)
        for count, granted in self.granted:
            granted(list(islice(found, count)))

    def let_go(self) -> None:
        """Cancel the answers that are waited for."""
        for _fingerprints, answer in self.asked:
            answer.cancel()

    def _answer(self, store: Store) -> None:
        if self.asked:
            # The last of the dead may not have been counted yet.
            store.settle_dead()
        for fingerprints, answer in self.asked:
            if not answer.done():
                answer.set_result(store.deaths(fingerprints))

    def _tell_ended(self, notes: Notes) -> None:
        notes.forget([each.claim for each, _done in self.ended])
        for _ended, done in self.ended:
            done()

    def _look_again(self, store: Store, claims: list[Claim]) -> None:
        """Grant at once what only a dead process still holds."""
        waiting = [i for i, claim in enumerate(claims) if claim.must_wait]
        if waiting and not self.looks_again:
            # It grants nothing: whoever waits asks again.
            with suppress(LedgerTrouble):
                self.looks_again = store.settle_dead() > 0
        if waiting and self.looks_again:
            # Where its answer gets lost, only these same ones can find out what they were granted.
            again = store.apply([self.wanted[i] for i in waiting], [])
            for i, claim in zip(waiting, again, strict=True):
                claims[i] = claim
