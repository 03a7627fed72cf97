"""The ledger's rules: what is known of a recipient, and whether this copy may be sent to it."""

import hashlib
from collections.abc import Mapping
from dataclasses import field
from enum import Enum, IntEnum
from typing import Final, NamedTuple

from consumer.core.record import record

ALONE_AFTER_DEATHS: Final = 3
"""Of the process that had the message in hands: from then on it is handled alone, so that no
neighbour is counted for what it does."""

POISON_AFTER_DEATHS: Final = 5


class Generation(NamedTuple):
    """Which copy of a message this is: retries raise `attempt`, a person's replay `epoch`."""

    epoch: int
    attempt: int


class State(IntEnum):
    """What the ledger knows of one recipient of one message."""

    OPEN = 0
    """Owed, and nobody works on it."""
    CLAIMED = 1
    """A process works on it: its owner."""
    DOUBTFUL = 2
    """The final dot went out, and nobody knows the answer."""
    ACCEPTED = 3
    HELD = 4
    """Dead-lettered in doubt: a person decides."""
    DEAD = 5


class Key(NamedTuple):
    """A message: the login that published it, as the broker checked it, and its message id."""

    login: str
    message_id: str


@record
class Entry:
    """What stands in the ledger for one recipient."""

    generation: Generation
    state: State
    fingerprint: bytes


class Standing(Enum):
    """What a copy may do for one recipient."""

    FREE = "free"
    DOUBTFUL = "doubtful"
    WAIT = "wait"
    DONE = "done"
    DEAD = "dead"
    """Done, as a dead letter."""
    STALE = "stale"


SKIPPED: Final = frozenset({Standing.DONE, Standing.DEAD, Standing.STALE})
"""Nothing is left to do for it."""


@record
class Wanted:
    """A copy that asks for its recipients."""

    key: Key
    generation: Generation
    fingerprint: bytes
    recipients: tuple[str, ...]


@record
class Claim:
    """What a copy was granted: it alone serves `granted`, and answers for `doubtful`.

    `skipped` says of every other recipient why nothing is left to do. With `must_wait` or
    `is_conflict` nothing is granted: another process works on it; another body has its key.
    """

    wanted: Wanted
    granted: tuple[str, ...] = ()
    doubtful: tuple[str, ...] = ()
    skipped: Mapping[str, Standing] = field(default_factory=dict)
    must_wait: bool = False
    is_conflict: bool = False

    @property
    def held(self) -> tuple[str, ...]:
        """The recipients that are claimed until the claim is ended."""
        return self.granted + self.doubtful


@record
class Ending:
    """How a claim ends for one recipient; `note` is the relay's reply, where it accepted."""

    state: State
    generation: Generation
    note: str = ""


@record
class Ended:
    """A claim that ends, for all it holds."""

    claim: Claim
    endings: Mapping[str, Ending]


def fingerprint(message_id: str | None, body: bytes) -> bytes:
    """Return what tells this message, under its id, from any other: 16 bytes."""
    return hashlib.blake2b(
        body, digest_size=16, key=hashlib.sha256((message_id or "").encode()).digest()
    ).digest()


def standing(entry: Entry | None, generation: Generation) -> Standing:
    """Return what a copy of `generation` may do, given what stands in the ledger.

    The owner of a claimed entry is alive: a dead one's claims are settled from its journal before
    this is asked.
    """
    if entry is None:
        return Standing.FREE
    match entry.state:
        case State.ACCEPTED:
            return Standing.DONE
        case State.HELD | State.DEAD:
            # Only a person's replay raises the epoch.
            is_replay = generation.epoch > entry.generation.epoch
            return Standing.FREE if is_replay else Standing.DEAD
        case _ if generation < entry.generation:
            return Standing.STALE
        case State.CLAIMED:
            return Standing.WAIT
        case State.DOUBTFUL:
            # A later copy knows nothing of it: it may stem from an attempt before this one, whose
            # retry was published and not committed.
            return Standing.DOUBTFUL
        case _:
            return Standing.FREE


def claim_of(wanted: Wanted, known: Mapping[str, Entry]) -> Claim:
    """Return what a copy is granted, given all that the ledger knows of its message."""
    if any(entry.fingerprint != wanted.fingerprint for entry in known.values()):
        return Claim(wanted, is_conflict=True)
    found = {name: standing(known.get(name), wanted.generation) for name in wanted.recipients}
    if Standing.WAIT in found.values():
        return Claim(wanted, must_wait=True)
    return Claim(
        wanted,
        granted=tuple(name for name, may in found.items() if may is Standing.FREE),
        doubtful=tuple(name for name, may in found.items() if may is Standing.DOUBTFUL),
        skipped={name: may for name, may in found.items() if may in SKIPPED},
    )
