"""Looks into the ledger of one host while its workers write: no claim, no lock, no file made."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

from consumer.core.found import Holder, Known, KnownRecipient
from consumer.core.ledger import Ending, Generation, Key, State
from consumer.ledger import owner
from consumer.ledger.journal import read_journal
from consumer.ledger.sqlite import BUSY_SECONDS, folders_of
from consumer.ledger.statements import VERSION
from consumer.ledger.store import LedgerTrouble

FIRST_DAY: Final = date(1970, 1, 1)

FIND: Final = """
SELECT recipient.login, recipient, epoch, attempt, state, recipient.fingerprint, recipient.owner,
    note, recipient.day, settled_owner.owner IS NOT NULL, ifnull(deaths, 0)
FROM asked CROSS JOIN recipient USING (login)
LEFT JOIN settled_owner ON settled_owner.owner = recipient.owner
LEFT JOIN death ON death.fingerprint = recipient.fingerprint
WHERE recipient.message_id = ?
ORDER BY recipient.login, recipient"""

ONE_LOGIN: Final = "WITH asked (login) AS (VALUES (?))"

EACH_LOGIN: Final = """
WITH RECURSIVE asked (login) AS (
    SELECT min(login) FROM recipient
    UNION ALL
    SELECT (SELECT min(login) FROM recipient WHERE login > asked.login)
    FROM asked WHERE asked.login IS NOT NULL
)"""
"""From login to login by the primary key: there are few, of entries there may be many millions."""


class _Row(NamedTuple):
    login: str
    name: str
    epoch: int
    attempt: int
    state: int
    fingerprint: bytes
    owner: str
    note: str
    day: int
    is_settled: int
    deaths: int


class _Look(NamedTuple):
    """What was seen of an owner: whether it lives, and what it noted of the message."""

    holder: Holder
    notes: Mapping[Key, Mapping[str, Ending]]
    is_lost: bool = False
    """Its folder is gone, unsettled, and with it all that was known of its dots."""


class SqliteReader:
    """Reads the file, and the folders of those who have something in hands."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folders = folders_of(path)

    def known(self, message_id: str, login: str | None = None) -> tuple[Known, ...]:
        """Return what is known of a message id, of each login or of this one."""
        try:
            if not self._path.exists():
                raise self._absent()
            rows = self._rows(message_id, login)
            owners = {row.owner for row in rows if row.owner and not row.is_settled}
            looks = {name: self._look(name) for name in owners}
            if looks:
                # What an owner had noted is in the file by now, where its note is gone.
                rows = self._rows(message_id, login)
        except (OSError, sqlite3.Error) as error:
            detail = getattr(error, "strerror", None) or error
            raise LedgerTrouble(f"{self._path}: {detail}") from error
        return tuple(
            _known(Key(name, message_id), list(some), looks)
            for name, some in groupby(rows, lambda row: row.login)
        )

    def close(self) -> None:
        """Nothing is held."""

    def _rows(self, message_id: str, login: str | None) -> list[_Row]:
        asked = EACH_LOGIN if login is None else ONE_LOGIN
        parameters = (message_id,) if login is None else (login, message_id)
        # Without a log beside it nobody writes, and SQLite would make one even to read.
        is_used = self._path.with_name(f"{self._path.name}-wal").exists()
        uri = f"file:{quote(str(self._path))}?{'mode=ro' if is_used else 'immutable=1'}"
        with closing(sqlite3.connect(uri, BUSY_SECONDS, uri=True, isolation_level=None)) as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if not version:
                raise self._absent()
            if version != VERSION:
                raise LedgerTrouble(f"{self._path} is of version {version}, and not of {VERSION}")
            return [_Row(*row) for row in db.execute(asked + FIND, parameters)]

    def _absent(self) -> LedgerTrouble:
        return LedgerTrouble(f"there is none at {self._path}: no consumer has begun it")

    def _look(self, name: str) -> _Look:
        folder = self._folders / name
        if not folder.exists():
            return _Look(Holder.NOBODY, {}, is_lost=True)
        notes = read_journal(folder)
        return _Look(Holder.LIVING if owner.lives(folder) else Holder.ENDED, notes)


def _known(key: Key, rows: list[_Row], looks: Mapping[str, _Look]) -> Known:
    recipients = tuple(_recipient(key, row, looks) for row in rows)
    return Known(key, rows[0].fingerprint, recipients, max(row.deaths for row in rows))


def _recipient(key: Key, row: _Row, looks: Mapping[str, _Look]) -> KnownRecipient:
    # Who claimed it between the two looks lives.
    look = looks.get(row.owner, _Look(Holder.LIVING, {}))
    state, note, generation = State(row.state), row.note, Generation(row.epoch, row.attempt)
    holder = look.holder if row.owner and not row.is_settled else Holder.NOBODY
    if row.owner:
        state = State.DOUBTFUL if state is State.DOUBTFUL else State.OPEN
        if not row.is_settled:
            ending = look.notes.get(key, {}).get(row.name)
            if ending is not None:
                state, generation, note = ending.state, ending.generation, ending.note
            elif look.is_lost:
                state = State.DOUBTFUL
    changed = FIRST_DAY + timedelta(days=row.day)
    return KnownRecipient(row.name, generation, state, holder, note, changed)
