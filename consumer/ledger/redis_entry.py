"""Entries as they stand in Redis, and the tickets that say which claim holds them."""

import itertools
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from consumer.core.ledger import Claim, Ending, Generation, State, Wanted

NOBODY: Final = "-"
MAX_NOTE: Final = 300


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry as it stands in Redis.

    `state` is what it is as soon as nobody holds it: a claim's owner writes beforehand what is to
    be believed should it die. `ticket` names the claim that holds it.
    """

    ticket: str
    state: State
    generation: Generation
    fingerprint: bytes
    note: str = ""

    def __str__(self) -> str:
        epoch, attempt = self.generation
        return (
            f"{self.ticket} {self.state:d} {epoch} {attempt} {self.fingerprint.hex()} {self.note}"
        )

    @property
    def owner(self) -> str:
        """Whose claim holds it."""
        return self.ticket.partition(".")[0]

    @classmethod
    def parse(cls, text: bytes) -> "Stored":
        """Read what `str` wrote."""
        ticket, state, epoch, attempt, print_, note = text.decode(errors="replace").split(" ", 5)
        generation = Generation(int(epoch), int(attempt))
        return cls(ticket, State(int(state)), generation, bytes.fromhex(print_), note)


class Tickets:
    """A name for every claim of a process, whose first part is the process's own. Thread-safe.

    A claim that is asked for again, because Redis' answer was lost, keeps its ticket: that tells
    what it was granted already from what another copy holds.
    """

    def __init__(self, me: str) -> None:
        self._me = me
        self._serial = itertools.count()
        # By identity: two copies of a message may ask for the same.
        self._tickets: dict[int, tuple[Wanted, str]] = {}
        self._lock = threading.Lock()

    def of(self, wanted: Wanted) -> str:
        """Return its ticket."""
        with self._lock:
            if id(wanted) not in self._tickets:
                self._tickets[id(wanted)] = wanted, f"{self._me}.{next(self._serial)}"
            return self._tickets[id(wanted)][1]

    def forget(self, wanted: Wanted) -> None:
        """It holds nothing any more."""
        with self._lock:
            self._tickets.pop(id(wanted), None)


def granted(claim: Claim, ticket: str) -> dict[str, str]:
    """Return the entries of what a claim holds, as text."""
    wanted = claim.wanted
    states = dict.fromkeys(claim.granted, State.OPEN)
    states |= dict.fromkeys(claim.doubtful, State.DOUBTFUL)
    return {
        name: str(Stored(ticket, state, wanted.generation, wanted.fingerprint))
        for name, state in states.items()
    }


def given_back(claim: Claim, ticket: str, known: Mapping[str, bytes]) -> dict[str, str]:
    """Return the entries, as text, that an answer which got lost had granted to this ticket.

    They are those its claim does not hold now: another process took some of them meanwhile, and
    whoever is to wait for that holds none.
    """
    found = {name: Stored.parse(text) for name, text in known.items() if name not in claim.held}
    return {
        name: str(replace(stored, ticket=NOBODY))
        for name, stored in found.items()
        if stored.ticket == ticket
    }


def ends(claim: Claim, endings: Mapping[str, Ending], ticket: str) -> dict[str, str]:
    """Return the entries of a claim that ends, as text; held on by `ticket`, or by NOBODY."""
    return {
        name: str(
            Stored(
                ticket,
                ending.state,
                ending.generation,
                claim.wanted.fingerprint,
                ending.note[:MAX_NOTE],
            )
        )
        for name, ending in endings.items()
    }
