"""Opens the ledger that the settings name."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol

from consumer.core.disk_errors import PASSING
from consumer.core.ledger_url import DEFAULT_FILE, LedgerKind, LedgerURL
from consumer.core.redis_url import RedisURL
from consumer.ledger.journal import Journal
from consumer.ledger.ledger import Ledger
from consumer.ledger.none import NoLedger
from consumer.ledger.owner import Owner
from consumer.ledger.sqlite import SqliteStore, folders_of
from consumer.ledger.store import LedgerTrouble

REDIS_OWNERS: Final = "redis.owners"
"""In the state folder: where the processes of a host that share a Redis keep their folders."""

NO_EXTRA: Final = (
    "a ledger on Redis needs the extra: pip install -c constraints.txt '.[consumer,redis]'"
)


class Hands(Protocol):
    """What this process has in hands, seen by whoever comes after it."""

    def take(self, slot: int, fingerprint: bytes) -> None:
        """Note that a message is in hands whose handling may end this process."""

    def put_down(self, slot: int) -> None:
        """Note that the process has survived it."""

    def close(self) -> None:
        """Stop living."""


class EmptyHands:
    """Notes nothing: without a ledger nobody would look."""

    def take(self, slot: int, fingerprint: bytes) -> None:
        """Note nothing."""

    def put_down(self, slot: int) -> None:
        """Note nothing."""

    def close(self) -> None:
        """End."""


class LedgerUnusable(Exception):
    """The ledger cannot be opened as it is set up; the text says what to do."""


def open_ledger(
    url: LedgerURL, state_dir: Path, retention: timedelta, slots: int
) -> tuple[Ledger | NoLedger, Hands]:
    """Return the ledger, and this process's hands with so many slots.

    Raises LedgerUnusable, or LedgerTrouble where the disk may come right by itself.
    """
    match url.kind:
        case LedgerKind.SQLITE:
            return _sqlite(url, state_dir, retention, slots)
        case LedgerKind.REDIS if url.redis is not None:
            return _redis(url, url.redis, state_dir, retention, slots)
        case _:
            return NoLedger(), EmptyHands()


def file_of(url: LedgerURL) -> Path:
    """Return the ledger's file by the one name under which all its processes find one another.

    Their folders lie beside it: to whoever came by a symbolic link, the others would be dead.
    """
    # Unlike Path.resolve it leaves a link that leads to itself to whoever opens it.
    return Path(os.path.realpath(url.path))


def owner_for(url: LedgerURL, state_dir: Path, slots: int) -> Owner:
    """Return this process as an owner of claims in a ledger with a place on this host.

    Raises as `open_ledger`.
    """
    if url.kind is LedgerKind.SQLITE:
        path = file_of(url)
        folder, folders = path.parent, folders_of(path)
        is_default = Path(url.path) == state_dir / DEFAULT_FILE
    else:
        folder, folders, is_default = state_dir, state_dir / REDIS_OWNERS, True
    refuse_foreign_root(folder)
    with _named(folder, "HOPMAIL_STATE_DIR" if is_default else "HOPMAIL_LEDGER_URL"):
        return Owner(folders, slots)


def _sqlite(
    url: LedgerURL, state_dir: Path, retention: timedelta, slots: int
) -> tuple[Ledger, Owner]:
    path = file_of(url)
    owner = owner_for(url, state_dir, slots)
    with _named(path.parent, "HOPMAIL_LEDGER_URL"), ExitStack() as undo:
        undo.callback(owner.vanish)
        journal = Journal(owner.folder)
        undo.pop_all()
    return Ledger(SqliteStore(path, owner.name, durable=url.durable), journal, retention), owner


def _redis(
    url: LedgerURL, redis_url: RedisURL, state_dir: Path, retention: timedelta, slots: int
) -> tuple[Ledger, Owner]:
    try:
        # Only now: the library is an extra, and takes its time to load.
        from consumer.ledger.redis import RedisStore  # noqa: PLC0415 - the reason above
        from consumer.ledger.redis_entry import Tickets  # noqa: PLC0415 - the reason above
        from consumer.ledger.redis_notes import RedisNotes  # noqa: PLC0415 - the reason above
        from consumer.ledger.redis_server import Server  # noqa: PLC0415 - the reason above
    except ModuleNotFoundError as error:
        raise LedgerUnusable(f"HOPMAIL_LEDGER_URL: {NO_EXTRA}") from error
    owner = owner_for(url, state_dir, slots)
    server, tickets = Server(redis_url, owner.name, retention), Tickets(owner.name)
    store = RedisStore(server, tickets, state_dir / REDIS_OWNERS)
    return Ledger(store, RedisNotes(server, tickets), retention), owner


@contextmanager
def _named(folder: Path, variable: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in PASSING:
            raise LedgerTrouble(f"{folder}: {error.strerror}") from error
        raise LedgerUnusable(
            f"{variable}: {folder} cannot be written by this user ({error.strerror});"
            " create it for this user, or name another place"
        ) from error


def refuse_foreign_root(folder: Path) -> None:
    """Raise LedgerUnusable where root would leave files that the folder's owner cannot open."""
    if os.geteuid() != 0 or not folder.exists():
        return
    owner = folder.stat().st_uid
    if owner != 0:
        raise LedgerUnusable(
            f"{folder} belongs to user {owner}, and what root makes there it could not open;"
            f" run this as that user: setpriv --reuid {owner} --clear-groups hopmail …"
        )
