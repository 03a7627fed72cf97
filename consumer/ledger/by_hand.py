"""What a person found out and the ledger could not know."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future

from consumer.core.ledger import Claim, Ending, State, Wanted
from consumer.ledger.ledger import Ledger
from consumer.ledger.none import NoLedger
from consumer.ledger.store import LedgerTrouble

PATIENCE_SECONDS = 8.0
"""Longer than a SQLite file may be busy; meanwhile nobody answers the broker's heartbeats."""

NOTE = "sent, a person says"


def note_as_sent(ledger: Ledger | NoLedger, wanted: Wanted) -> None:
    """Note that the relay took a mail for these recipients. Raises LedgerTrouble."""
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
    if not claim.held:
        return
    ending = Ending(State.ACCEPTED, wanted.generation, NOTE)
    ledger.end(claim, dict.fromkeys(claim.held, ending), kept.set)
    if not kept.wait(max(0.0, deadline - time.monotonic())):
        raise _not_written(ledger)


def _not_written(ledger: Ledger | NoLedger) -> LedgerTrouble:
    return LedgerTrouble(ledger.trouble or "it could not be written in time")
