"""The ledger in SQL."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final, TypeVar

T = TypeVar("T")

VERSION: Final = 1

SCHEMA: Final = f"""
CREATE TABLE IF NOT EXISTS recipient (
    login TEXT NOT NULL, message_id TEXT NOT NULL, recipient TEXT NOT NULL,
    epoch INTEGER NOT NULL, attempt INTEGER NOT NULL, state INTEGER NOT NULL,
    fingerprint BLOB NOT NULL, owner TEXT NOT NULL, note TEXT NOT NULL, day INTEGER NOT NULL,
    PRIMARY KEY (login, message_id, recipient)
) WITHOUT ROWID, STRICT;
CREATE INDEX IF NOT EXISTS recipient_by_day ON recipient (day);
CREATE TABLE IF NOT EXISTS settled_owner (
    owner TEXT PRIMARY KEY, day INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
CREATE TABLE IF NOT EXISTS death (
    fingerprint BLOB PRIMARY KEY, deaths INTEGER NOT NULL, day INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
PRAGMA user_version = {VERSION};
"""

# Each step lets other threads run and waits to go on: what concerns many rows is one statement.

SELECT: Final = """
WITH asked (login, message_id) AS (VALUES {rows})
SELECT recipient.login, recipient.message_id, recipient, epoch, attempt, state, fingerprint, owner
FROM asked CROSS JOIN recipient USING (login, message_id)"""
"""CROSS JOIN keeps the order of the two: each key is looked up."""

SELECT_ROW: Final = "(?, ?)"

CLAIM: Final = """
INSERT INTO recipient VALUES {rows}
ON CONFLICT DO UPDATE SET epoch = excluded.epoch, attempt = excluded.attempt,
    state = excluded.state, owner = excluded.owner, day = excluded.day"""

CLAIM_ROW: Final = "(?, ?, ?, ?, ?, ?, ?, ?, '', ?)"

END: Final = """
UPDATE recipient SET epoch = ?, attempt = ?, state = ?, owner = '', note = ?, day = ?
WHERE login = ? AND message_id = ? AND recipient = ? AND owner = ?"""

END_OWN: Final = """
INSERT INTO recipient VALUES {rows}
ON CONFLICT DO UPDATE SET epoch = excluded.epoch, attempt = excluded.attempt,
    state = excluded.state, owner = '', note = excluded.note, day = excluded.day
WHERE recipient.owner = ?"""
"""Where the file was begun anew since the claim, its end is noted all the same."""

END_OWN_ROW: Final = "(?, ?, ?, ?, ?, ?, ?, '', ?, ?)"

DIED: Final = """
INSERT INTO death VALUES (?, 1, ?)
ON CONFLICT DO UPDATE SET deaths = deaths + 1, day = excluded.day"""


AT_ONCE: Final = (64, 16, 4, 1)
"""Rows per statement: of few sizes, so that SQLite need not compile each anew."""


@cache
def of_rows(statement: str, row: str, count: int) -> str:
    """Return a statement with so many rows."""
    return statement.format(rows=", ".join([row] * count))


def in_parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield the items in parts, each of one of the sizes."""
    at = 0
    while at < len(items):
        size = next(size for size in AT_ONCE if size <= len(items) - at)
        yield items[at : at + size]
        at += size
