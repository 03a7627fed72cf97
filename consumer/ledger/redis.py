"""The ledger of several hosts: entries in a Redis that all their workers share."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar

from consumer.core.ledger import Claim, Ended, Entry, Key, State, Wanted, claim_of
from consumer.ledger import owner
from consumer.ledger.redis_entry import NOBODY, Stored, Tickets, ends, given_back, granted
from consumer.ledger.redis_server import STAMP, Change, Message, Server
from consumer.ledger.store import LedgerTrouble

T = TypeVar("T")

MESSAGES_AT_ONCE: Final = 200
"""In one script, which keeps everybody else waiting."""


class RedisStore:
    """Entries in Redis; on this host, folders of what its processes had in hands.

    Each message's entries change in one step, and what was done before an answer got lost is
    found done when it is asked for again, with the same `Wanted`; until then it is ours.
    """

    def __init__(self, server: Server, tickets: Tickets, folders: Path) -> None:
        self._server = server
        self._tickets = tickets
        self._folders = folders

    def apply(self, wanted: Sequence[Wanted], ended: Sequence[Ended]) -> list[Claim]:
        """End claims, then grant others. Returns each wanted's claim."""
        if not wanted and not ended:
            self._server.renew()
        for some_ended in _parts(ended):
            self._server.end(
                [
                    (
                        each.claim.wanted.key,
                        self._tickets.of(each.claim.wanted),
                        ends(each.claim, each.endings, NOBODY),
                    )
                    for each in some_ended
                ]
            )
        claims = [claim for some in _parts(wanted) for claim in self._grant(some)]
        for claim in claims:
            if not claim.held:
                self._tickets.forget(claim.wanted)
        return claims

    def deaths(self, fingerprints: Sequence[bytes]) -> dict[bytes, int]:
        """Return how many processes ended with each of these messages in hands."""
        return self._server.deaths(fingerprints)

    def settle_dead(self) -> int:
        """Settle what ended processes of this host left; others' leases end by themselves."""
        settled = 0
        try:
            for folder in sorted(self._folders.glob("[!.]*")):
                with owner.dead(folder) as is_dead:
                    if is_dead:
                        self._server.settle(folder.name, owner.in_hands(folder))
                        owner.remove(folder)
                        settled += 1
        except OSError as error:
            raise LedgerTrouble(str(error)) from error
        return settled

    def prune(self, _retention: timedelta) -> int:
        """Leave it to Redis, where each entry has its end from the beginning."""
        return 0

    def size(self) -> int:
        """Return the memory that Redis uses, for others too."""
        return self._server.used_memory()

    def close(self) -> None:
        """End our lease and disconnect."""
        self._server.close()

    def _grant(self, wanted: Sequence[Wanted]) -> list[Claim]:
        """Decide on what was read, and write it where that still stands; else once more."""
        claims: dict[int, Claim] = {}
        left: dict[Key, list[Wanted]] = {}
        for each in wanted:
            left.setdefault(each.key, []).append(each)
        while left:
            living, messages = self._server.read(list(left))
            changes: list[Change] = []
            for (key, copies), message in zip(left.items(), messages, strict=True):
                stamp = message.pop(STAMP, b"")
                entries: dict[str, str] = {}
                for copy in copies:
                    claims[id(copy)] = claim = self._claim(copy, message, living)
                    ticket = self._tickets.of(copy)
                    taken = given_back(claim, ticket, message) | granted(claim, ticket)
                    message |= {name: text.encode() for name, text in taken.items()}
                    entries |= taken
                changes.append((key, stamp, entries))
            changes = [change for change in changes if change[-1]]
            done = self._server.grant(changes) if changes else []
            left = {
                key: left[key]
                for (key, *_rest), written in zip(changes, done, strict=True)
                if not written
            }
        return [claims[id(each)] for each in wanted]

    def _claim(self, wanted: Wanted, message: Message, living: set[str]) -> Claim:
        ours = self._tickets.of(wanted)
        known: dict[str, Entry] = {}
        for name, text in message.items():
            stored = Stored.parse(text)
            is_held = stored.ticket != ours and stored.owner in living
            state = State.CLAIMED if is_held else stored.state
            known[name] = Entry(stored.generation, state, stored.fingerprint)
        return claim_of(wanted, known)


def _parts(items: Sequence[T]) -> Iterable[Sequence[T]]:
    for start in range(0, len(items), MESSAGES_AT_ONCE):
        yield items[start : start + MESSAGES_AT_ONCE]
