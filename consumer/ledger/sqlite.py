"""The ledger of one host: a SQLite file that all its workers share."""

import os
import sqlite3
import time
from collections.abc import Sequence
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Final

from consumer.core.ledger import (
    Claim,
    Ended,
    Entry,
    Generation,
    Key,
    State,
    Wanted,
)
from consumer.ledger import owner
from consumer.ledger.journal import read_journal
from consumer.ledger.sqlite_rows import (
    Row,
    claim_rows,
    claimed,
    ends,
    own_ends,
    transaction,
    write,
)
from consumer.ledger.statements import (
    CLAIM,
    CLAIM_ROW,
    DIED,
    END,
    END_OWN,
    END_OWN_ROW,
    SCHEMA,
    SELECT,
    SELECT_ROW,
    VERSION,
    in_parts,
    of_rows,
)
from consumer.ledger.store import LedgerTrouble

DAY_SECONDS: Final = 86_400
BUSY_SECONDS: Final = 5.0
"""A worker holds the file for a millisecond at a time; one that holds it longer has stopped."""

SWITCH_AGAIN_SECONDS: Final = 0.01
"""While another process makes the file, which takes a few milliseconds."""

ANEW_SECONDS: Final = 8.0
"""After the file was removed. Every process looks at it every five seconds, at least."""

PRUNED_AT_ONCE: Final = 5_000


class SqliteStore:
    """Entries in SQLite, and in folders beside it what each process noted meanwhile.

    WAL with `synchronous=NORMAL` survives the end of any process, though not of the machine's
    power (https://www.sqlite.org/wal.html#performance_considerations); `durable` makes it FULL.
    Belongs to one thread. Methods raise LedgerTrouble; what they began is undone then.
    """

    def __init__(self, path: Path, me: str, *, durable: bool = False) -> None:
        self._path = path
        self._folders = folders_of(path)
        self._me = me
        self._durable = durable
        self._db: sqlite3.Connection | None = None
        self._inode = 0
        self._mine: dict[tuple[Key, str], Row] = {}
        self._grants_seconds = 0.0

    def apply(self, wanted: Sequence[Wanted], ended: Sequence[Ended]) -> list[Claim]:
        """End claims, then grant others, all in one transaction. Returns each wanted's claim."""
        db, day = self._connected(), _today()
        if time.monotonic() < self._grants_seconds:
            raise LedgerTrouble(
                f"{self._path} was begun anew: what others have in hands comes first"
            )
        with transaction(db):
            write(db, END_OWN, END_OWN_ROW, own_ends(ended, day), self._me)
            known = self._known(db, {each.key for each in wanted})
            claims = [claimed(each, known) for each in wanted]
            rows = [row for claim in claims for row in claim_rows(claim, self._me, day)]
            write(db, CLAIM, CLAIM_ROW, rows)
        for each in ended:
            for name in each.endings:
                self._mine.pop((each.claim.wanted.key, name), None)
        self._mine |= {(Key(row[0], row[1]), row[2]): row for row in rows}
        return claims

    def deaths(self, fingerprints: Sequence[bytes]) -> dict[bytes, int]:
        """Return how many processes ended with each of these messages in hands."""
        with transaction(self._connected()) as db:
            marks = ",".join("?" * len(fingerprints))
            query = f"SELECT fingerprint, deaths FROM death WHERE fingerprint IN ({marks})"  # noqa: S608 - question marks only
            return dict(db.execute(query, fingerprints).fetchall())

    def settle_dead(self) -> int:
        """Settle what ended processes left behind; return how many there were."""
        settled = 0
        try:
            for folder in sorted(self._folders.glob("[!.]*")):
                with owner.dead(folder) as is_dead:
                    if is_dead:
                        with transaction(self._connected()) as db:
                            self._fold(db, folder)
                        owner.remove(folder)
                        settled += 1
        except OSError as error:
            raise LedgerTrouble(str(error)) from error
        return settled

    def prune(self, retention: timedelta) -> int:
        """Forget what last changed longer ago than `retention`; return how many entries."""
        last = _today() - retention // timedelta(days=1) - 1
        with transaction(self._connected()) as db:
            keys = db.execute(
                "SELECT login, message_id, recipient FROM recipient"
                " WHERE day < ? AND (owner = '' OR owner IN (SELECT owner FROM settled_owner))"
                " LIMIT ?",
                (last, PRUNED_AT_ONCE),
            ).fetchall()
            db.executemany(
                "DELETE FROM recipient WHERE login = ? AND message_id = ? AND recipient = ?", keys
            )
            db.execute("DELETE FROM death WHERE day < ?", (last,))
            db.execute(
                "DELETE FROM settled_owner WHERE day < ? AND NOT EXISTS"
                " (SELECT 1 FROM recipient WHERE day < ?)",
                (last, last),
            )
        return len(keys)

    def size(self) -> int:
        """Return the bytes of the file, and of what SQLite has not moved there yet."""
        files = (self._path, self._path.with_name(f"{self._path.name}-wal"))
        try:
            return sum(file.stat().st_size for file in files if file.exists())
        except OSError as error:
            raise LedgerTrouble(f"{self._path}: {error.strerror}") from error

    def close(self) -> None:
        """Close the file."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _connected(self) -> sqlite3.Connection:
        try:
            # A file that was removed or replaced would be written to, and read by nobody.
            if self._db is None or self._path.stat().st_ino != self._inode:
                self.close()
                self._db = self._connect()
                before, self._inode = self._inode, self._path.stat().st_ino
                if before not in {0, self._inode}:
                    self._begin_anew(self._db)
        except (OSError, sqlite3.Error) as error:
            self.close()
            if self._inode and isinstance(error, FileNotFoundError):
                # No file's number: the next one may well get that of the one that is gone.
                self._inode = -1
            detail = getattr(error, "strerror", None) or error
            raise LedgerTrouble(f"{self._path}: {detail}") from error
        return self._db

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Addresses are in it. What SQLite keeps beside it gets the same mode.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        db = sqlite3.connect(
            self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            _switch_to_wal(db)
            db.execute(f"PRAGMA synchronous = {'FULL' if self._durable else 'NORMAL'}")
            self._make_tables(db)
        except BaseException:
            db.close()
            raise
        return db

    def _make_tables(self, db: sqlite3.Connection) -> None:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise LedgerTrouble(f"{self._path} was written by a later version of Hopmail")
        if version < VERSION:
            db.executescript(SCHEMA)

    def _begin_anew(self, db: sqlite3.Connection) -> None:
        """Enter what we have in hands, and give the other processes time to do the same."""
        self._grants_seconds = time.monotonic() + ANEW_SECONDS
        with transaction(db):
            write(db, CLAIM, CLAIM_ROW, list(self._mine.values()))

    def _known(self, db: sqlite3.Connection, keys: set[Key]) -> dict[Key, dict[str, Entry]]:
        known: dict[Key, dict[str, Entry]] = {key: {} for key in keys}
        for some in in_parts(list(keys)):
            found = db.execute(of_rows(SELECT, SELECT_ROW, len(some)), [*chain(*some)]).fetchall()
            for login, message_id, name, epoch, attempt, state, fingerprint, holder in found:
                known[Key(login, message_id)][name] = Entry(
                    Generation(epoch, attempt),
                    self._claimed_by(db, holder, State(state)) if holder else State(state),
                    fingerprint,
                )
        return known

    def _claimed_by(self, db: sqlite3.Connection, holder: str, state: State) -> State:
        """Return what a claim is worth. Its holder cannot be settled while we write."""
        if holder == self._me:
            return State.CLAIMED
        if db.execute("SELECT 1 FROM settled_owner WHERE owner = ?", (holder,)).fetchone():
            # It was to decide on an earlier doubt, and has not.
            return State.DOUBTFUL if state is State.DOUBTFUL else State.OPEN
        # Whoever removed an unsettled folder removed all that was known of its dots.
        return State.CLAIMED if (self._folders / holder).exists() else State.DOUBTFUL

    def _fold(self, db: sqlite3.Connection, folder: Path) -> None:
        """Take over what a dead process noted: once, for its deaths are counted."""
        day = _today()
        new = db.execute("INSERT OR IGNORE INTO settled_owner VALUES (?, ?)", (folder.name, day))
        if not new.rowcount:
            return
        for key, endings in read_journal(folder).items():
            db.executemany(END, ends(key, endings, folder.name, day))
        db.executemany(DIED, [(each, day) for each in owner.in_hands(folder)])


def folders_of(path: Path) -> Path:
    """Return where the processes that share a ledger file keep their folders."""
    return path.with_name(f"{path.name}.owners")


def _switch_to_wal(db: sqlite3.Connection) -> None:
    """Have the file in WAL mode, which stays. Raises sqlite3.Error."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            # It has begun to read by then, and SQLite lets nobody who reads wait for who writes.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        else:
            return
        time.sleep(SWITCH_AGAIN_SECONDS)


def _today() -> int:
    return int(time.time()) // DAY_SECONDS
