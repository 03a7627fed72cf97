"""Opens the ledger that the settings name."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol

from consumer.core.ledger_url import LedgerKind, LedgerURL
from consumer.core.redis_url import RedisURL
from consumer.ledger.journal import Journal
from consumer.ledger.ledger import Ledger
from consumer.ledger.none import NoLedger
from consumer.ledger.owner import Owner
from consumer.ledger.sqlite import SqliteStore, folders_of

REDIS_OWNERS: Final = "redis.owners"
"""In the state folder: where the processes of a host that share a Redis keep their folders."""


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
    """Return the ledger, and this process's hands with so many slots. Raises LedgerUnusable."""
    match url.kind:
        case LedgerKind.SQLITE:
            return _sqlite(url, retention, slots)
        case LedgerKind.REDIS if url.redis is not None:
            return _redis(url.redis, state_dir, retention, slots)
        case _:
            return NoLedger(), EmptyHands()


def _sqlite(url: LedgerURL, retention: timedelta, slots: int) -> tuple[Ledger, Owner]:
    path = Path(url.path)
    refuse_foreign_root(path.parent)
    try:
        owner = Owner(folders_of(path), slots)
        journal = Journal(owner.folder)
    except OSError as error:
        raise LedgerUnusable(
            f"HOPMAIL_LEDGER_URL: {path.parent} cannot be written by this user ({error.strerror});"
            " create it for this user, or name another file"
        ) from error
    return Ledger(SqliteStore(path, owner.name, durable=url.durable), journal, retention), owner


def _redis(
    url: RedisURL, state_dir: Path, retention: timedelta, slots: int
) -> tuple[Ledger, Owner]:
    try:
        # Only now: the library is an extra, and takes its time to load.
        from consumer.ledger.redis import RedisStore  # noqa: PLC0415 - the reason above
        from consumer.ledger.redis_entry import Tickets  # noqa: PLC0415 - the reason above
        from consumer.ledger.redis_notes import RedisNotes  # noqa: PLC0415 - the reason above
        from consumer.ledger.redis_server import Server  # noqa: PLC0415 - the reason above
    except ModuleNotFoundError as error:
        raise LedgerUnusable(
            "HOPMAIL_LEDGER_URL: a ledger on Redis needs the extra: pip install hopmail[redis]"
        ) from error
    folders = state_dir / REDIS_OWNERS
    refuse_foreign_root(state_dir)
    try:
        owner = Owner(folders, slots)
    except OSError as error:
        raise LedgerUnusable(
            f"HOPMAIL_STATE_DIR: {state_dir} cannot be written by this user ({error.strerror});"
            " create it for this user, or name another folder"
        ) from error
    server, tickets = Server(url, owner.name, retention), Tickets(owner.name)
    store = RedisStore(server, tickets, folders)
    return Ledger(store, RedisNotes(server, tickets), retention), owner


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
