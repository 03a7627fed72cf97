"""Processes that share a ledger, whichever keeps it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from consumer.core.ledger import Claim, Ended, Ending, Generation, Key, State, Wanted
from consumer.core.redis_url import RedisURL
from consumer.ledger.journal import Journal
from consumer.ledger.owner import Owner
from consumer.ledger.redis import RedisStore
from consumer.ledger.redis_entry import Tickets
from consumer.ledger.redis_notes import RedisNotes
from consumer.ledger.redis_server import Server
from consumer.ledger.sqlite import SqliteStore, folders_of
from consumer.ledger.store import Notes, Store

FIRST, SECOND, REPLAY = Generation(0, 1), Generation(0, 2), Generation(1, 1)
RETENTION = timedelta(days=14)


def wanted(
    *recipients: str,
    message_id: str = "m-1",
    generation: Generation = FIRST,
    login: str = "app",
    fingerprint: bytes = b"p" * 16,
) -> Wanted:
    return Wanted(Key(login, message_id), generation, fingerprint, recipients or ("a",))


class Process:
    """What one worker process has of a ledger."""

    def __init__(self, owner: Owner, store: Store, notes: Notes) -> None:
        self.owner = owner
        self.store = store
        self.notes = notes
        self._is_alive = True

    def claim(self, each: Wanted) -> Claim:
        """Ask for one message."""
        (found,) = self.store.apply([each], [])
        return found

    def end(self, claim: Claim, state: State, generation: Generation = FIRST) -> None:
        """End a claim for all it holds."""
        ending = Ending(state, generation, "250 2.0.0 queued as 1")
        self.store.apply([], [Ended(claim, dict.fromkeys(claim.held, ending))])
        self.notes.forget([claim])

    def die(self) -> None:
        """End without a word, as far as others can see."""
        if self._is_alive:
            self._is_alive = False
            self._fall_silent()
            self.owner.close()

    def _fall_silent(self) -> None:
        self.store.close()
        self.notes.close()


class RedisProcess(Process):
    """One beside a Redis, which is not told when it dies."""

    def __init__(self, owner: Owner, folders: Path, server: Server) -> None:
        tickets = Tickets(owner.name)
        super().__init__(owner, RedisStore(server, tickets, folders), RedisNotes(server, tickets))
        self.server = server

    def _fall_silent(self) -> None:
        self.server._closing.set()
        self.server._thread.join()
        self.server._redis.close()


class Place(Protocol):
    """Where processes share a ledger."""

    def process(self) -> Process:
        """Start one."""


class SqlitePlace:
    """A file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def process(self) -> Process:
        """Start one."""
        owner = Owner(folders_of(self._path), 2)
        return Process(owner, SqliteStore(self._path, owner.name), Journal(owner.folder))


class RedisPlace:
    """A Redis, and a folder for each host."""

    def __init__(self, url: RedisURL, folders: Path) -> None:
        self.url = url
        self._folders = folders

    def process(self, host: str = "host") -> RedisProcess:
        """Start one, on this host."""
        folders = self._folders / host
        owner = Owner(folders, 2)
        return RedisProcess(owner, folders, Server(self.url, owner.name, RETENTION))


@contextmanager
def processes(place: Place, count: int) -> Iterator[list[Process]]:
    """Run so many for the length of a block."""
    found = [place.process() for _ in range(count)]
    try:
        yield found
    finally:
        for each in found:
            each.die()
