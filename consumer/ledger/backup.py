"""A copy of a SQLite ledger, made beside the workers that write it, and put back."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from consumer.core.ledger_url import LedgerKind, LedgerURL
from consumer.core.record import record
from consumer.ledger import owner
from consumer.ledger.opening import LedgerUnusable, file_of, refuse_foreign_root
from consumer.ledger.sqlite import BUSY_SECONDS, folders_of
from consumer.ledger.statements import VERSION
from consumer.ledger.store import LedgerTrouble

PRIVATE: Final = 0o600
"""Addresses are in it."""


@record
class Copied:
    """What was copied: entries (recipients of messages), and the bytes of the file."""

    entries: int
    size_bytes: int


def back_up(url: LedgerURL, target: Path) -> Copied:
    """Copy the ledger as it is at one moment, whoever writes it meanwhile.

    The file appears under its name once it is whole and on the disk. Raises LedgerUnusable where
    there is nothing to copy, or LedgerTrouble.
    """
    path = _file(url)
    refuse_foreign_root(path.parent)
    if not path.exists():
        raise LedgerUnusable(f"{path} does not exist: no consumer has used this ledger yet")
    if target.resolve() == path:
        raise LedgerUnusable(f"{target} is the ledger itself: name another file")
    part = target.with_name(f".{target.name}.part")
    try:
        with _failures(target):
            part.unlink(missing_ok=True)
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE))
            with _opened(path) as ledger, _opened(part) as copy:
                ledger.backup(copy)
                copied = Copied(_checked(copy, part), part.stat().st_size)
            _sync(part)
            part.rename(target)
            _sync(target.parent)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return copied


def restore(url: LedgerURL, source: Path) -> Copied:
    """Put a copy in the ledger's place, in one transaction.

    Raises LedgerUnusable where that must not be done, or LedgerTrouble.
    """
    path = _file(url)
    refuse_foreign_root(path.parent)
    _refuse_living(path)
    if not source.exists():
        raise LedgerUnusable(f"{source} does not exist")
    with _failures(source), _opened(source) as copy:
        entries = _checked(copy, source)
        with _failures(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE))
            with _opened(path) as ledger:
                copy.backup(ledger)
    return Copied(entries, path.stat().st_size)


def _file(url: LedgerURL) -> Path:
    if url.kind is LedgerKind.REDIS:
        raise LedgerUnusable("the ledger is in Redis: use Redis's own means, see docs/growing.md")
    if url.kind is LedgerKind.NONE:
        raise LedgerUnusable("HOPMAIL_LEDGER_URL is none: there is no ledger")
    return file_of(url)


def _refuse_living(path: Path) -> None:
    for folder in folders_of(path).glob("[!.]*"):
        with owner.dead(folder) as is_dead:
            if not is_dead and folder.exists():
                raise LedgerUnusable(
                    "consumers use this ledger: stop them first, or what they have in hands"
                    " would be forgotten"
                )


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as db:
        yield db


def _checked(db: sqlite3.Connection, path: Path) -> int:
    """Return the entries of a sound ledger. Raises LedgerUnusable for anything else."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version != VERSION:
        raise LedgerUnusable(f"{path} is no ledger of this version of Hopmail")
    (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise LedgerUnusable(f"{path} is damaged: {verdict}")
    return int(db.execute("SELECT count(*) FROM recipient").fetchone()[0])


@contextmanager
def _failures(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise LedgerTrouble(f"{path}: {error}") from error
    except OSError as error:
        raise LedgerTrouble(f"{error.filename or path}: {error.strerror}") from error


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
