"""Opens the ledger that the settings name."""

from datetime import timedelta
from pathlib import Path
from typing import Protocol

from consumer.core.ledger_url import LedgerKind, LedgerURL
from consumer.ledger.journal import Journal
from consumer.ledger.ledger import Ledger
from consumer.ledger.none import NoLedger
from consumer.ledger.owner import Owner
from consumer.ledger.sqlite import SqliteStore, folders_of


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
    url: LedgerURL, retention: timedelta, slots: int
) -> tuple[Ledger | NoLedger, Hands]:
    """Return the ledger, and this process's hands with so many slots. Raises LedgerUnusable."""
    if url.kind is LedgerKind.NONE:
        return NoLedger(), EmptyHands()
    path = Path(url.path)
    try:
        owner = Owner(folders_of(path), slots)
        journal = Journal(owner.folder)
    except OSError as error:
        raise LedgerUnusable(
            f"HOPMAIL_LEDGER_URL: {path.parent} cannot be written by this user ({error.strerror});"
            " create it for this user, or name another file"
        ) from error
    return Ledger(SqliteStore(path, owner.name, durable=url.durable), journal, retention), owner
