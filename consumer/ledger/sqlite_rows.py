"""Entries as rows of the SQLite file, and how they get there."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from typing import Any, Final

from consumer.core.ledger import Claim, Ended, Ending, Entry, Key, State, Wanted, claim_of
from consumer.ledger.statements import in_parts, of_rows
from consumer.ledger.store import LedgerTrouble

Row = tuple[Any, ...]

MAX_NOTE: Final = 300


def ends(key: Key, endings: Mapping[str, Ending], by: str, day: int) -> list[Row]:
    """Return the parameters that end another's claim."""
    return [
        (*ending.generation, ending.state, ending.note[:MAX_NOTE], day, *key, name, by)
        for name, ending in endings.items()
    ]


def own_ends(ended: Sequence[Ended], day: int) -> list[Row]:
    """Return the rows of our claims that end."""
    return [
        (
            *(*each.claim.wanted.key, name, *ending.generation, ending.state),
            *(each.claim.wanted.fingerprint, ending.note[:MAX_NOTE], day),
        )
        for each in ended
        for name, ending in each.endings.items()
    ]


def claimed(wanted: Wanted, known: dict[Key, dict[str, Entry]]) -> Claim:
    """Return what a copy is granted; in what is known its claim stands from now on."""
    entries = known[wanted.key]
    claim = claim_of(wanted, entries)
    for name in claim.held:
        entries[name] = Entry(wanted.generation, State.CLAIMED, wanted.fingerprint)
    return claim


def write(
    db: sqlite3.Connection, statement: str, row: str, rows: Sequence[Row], *rest: Any
) -> None:
    """Write rows, in as few steps as may be; `rest` are the statement's last parameters."""
    for some in in_parts(rows):
        db.execute(of_rows(statement, row, len(some)), (*chain(*some), *rest))


def claim_rows(claim: Claim, by: str, day: int) -> list[Row]:
    """Return the rows of what a claim holds."""
    wanted = claim.wanted
    return [
        (*wanted.key, name, *wanted.generation, state, wanted.fingerprint, by, day)
        for state, names in (
            (State.CLAIMED, claim.granted),
            (State.DOUBTFUL, claim.doubtful),
        )
        for name in names
    ]


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Commit what is done inside, or undo it. Raises LedgerTrouble."""
    try:
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")
    except (sqlite3.Error, OSError) as error:
        if db.in_transaction:
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")
        raise LedgerTrouble(str(error)) from error
