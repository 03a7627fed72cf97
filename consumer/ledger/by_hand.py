"""What a person found out and the ledger could not know."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future

from consumer.core.ledger import Claim, Ending, Standing, State, Wanted
from consumer.ledger.ledger import Ledger
from consumer.ledger.none import NoLedger
from consumer.ledger.store import LedgerTrouble

PATIENCE_SECONDS = 8.0
"""Longer than a SQLite file may be busy; meanwhile nobody answers the broker's heartbeats."""

NOTE = "sent, a person says"


def note_as_sent(ledger: Ledger | NoLedger, wanted: Wanted) -> tuple[str, ...]:
    """Note that the relay took a mail for these recipients. Raises LedgerTrouble.

    Returns those of whom a later copy is under way, which will be sent all the same.
    """
    asked: Future[Sequence[Claim]] = Future()
    kept = threading.Event()
    deadline = time.monotonic() + PATIENCE_SECONDS
    ledger.claim((wanted,), asked.set_result)
    try:
        (claim,) = asked.result(PATIENCE_SECONDS)
    except TimeoutError:
        raise _not_written(ledger) from None
    if claim.must_wait:
        raise LedgerTrouble("a consumer works on this message now; try again in a moment")
    if claim.is_conflict:
        raise LedgerTrouble("the ledger knows another message under this id")
    late = tuple(name for name, why in claim.skipped.items() if why is Standing.STALE)
    if not claim.held:
        return late
    ending = Ending(State.ACCEPTED, wanted.generation, NOTE)
    ledger.end(claim, dict.fromkeys(claim.held, ending), kept.set)
    if not kept.wait(max(0.0, deadline - time.monotonic())):
        raise _not_written(ledger)
    return late


def _not_written(ledger: Ledger | NoLedger) -> LedgerTrouble:
    return LedgerTrouble(ledger.trouble or "it could not be written in time")
