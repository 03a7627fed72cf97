"""The ledger in SQL."""

from typing import Final

SCHEMA: Final = """
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
PRAGMA user_version = 1;
"""

SELECT: Final = """
SELECT recipient, epoch, attempt, state, fingerprint, owner FROM recipient
WHERE login = ? AND message_id = ?"""

CLAIM: Final = """
INSERT INTO recipient VALUES (?, ?, ?, ?, ?, ?, ?, ?, '', ?)
ON CONFLICT DO UPDATE SET epoch = excluded.epoch, attempt = excluded.attempt,
    state = excluded.state, owner = excluded.owner, day = excluded.day"""

END: Final = """
UPDATE recipient SET epoch = ?, attempt = ?, state = ?, owner = '', note = ?, day = ?
WHERE login = ? AND message_id = ? AND recipient = ? AND owner = ?"""

END_OWN: Final = """
INSERT INTO recipient VALUES (?, ?, ?, ?, ?, ?, ?, '', ?, ?)
ON CONFLICT DO UPDATE SET epoch = excluded.epoch, attempt = excluded.attempt,
    state = excluded.state, owner = '', note = excluded.note, day = excluded.day
WHERE recipient.owner = ?"""
"""Where the file was begun anew since the claim, its end is noted all the same."""

DIED: Final = """
INSERT INTO death VALUES (?, 1, ?)
ON CONFLICT DO UPDATE SET deaths = deaths + 1, day = excluded.day"""
