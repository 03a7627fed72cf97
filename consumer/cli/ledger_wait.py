"""Opens the ledger as a process starts, and waits for its disk where that is full or failing."""

import logging
import signal
from collections.abc import Callable
from typing import Final

import typer

from consumer.cli.measuring import Measuring
from consumer.cli.start import ledger_or_exit
from consumer.core.exit_code import ExitCode
from consumer.daemon import STOPS
from consumer.ledger.ledger import Ledger
from consumer.ledger.none import NoLedger
from consumer.ledger.opening import Hands
from consumer.ledger.store import LedgerTrouble
from consumer.settings import Settings

log = logging.getLogger(__name__)

AGAIN_SECONDS: Final = 3.0
"""Until the ledger is opened once more, while its disk is full or failing."""


def ledger_when_ready(
    settings: Settings,
    measuring: Measuring | None,
    keep_house: Callable[[], None],
    is_abandoned: Callable[[], bool],
) -> tuple[Ledger | NoLedger, Hands]:
    """Open the ledger, once its disk lets us; `keep_house` meanwhile.

    Exits where the settings are wrong, on SIGTERM, or without a supervisor.
    """
    trouble = ""
    while isinstance(opened := _opened(settings), LedgerTrouble):
        if not trouble:
            trouble = str(opened)
            # So that it is ours to end on it; threads are started so, and the daemon unblocks them
            # in the main one once it has handlers.
            signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
            log.error("ledger in trouble", extra={"detail": trouble})
            if measuring is not None:
                measuring.ledger_unopened()
        keep_house()
        _wait_or_exit(is_abandoned)
    if trouble:
        log.warning("ledger is back")
    return opened


def _opened(settings: Settings) -> tuple[Ledger | NoLedger, Hands] | LedgerTrouble:
    try:
        return ledger_or_exit(settings)
    except LedgerTrouble as trouble:
        return trouble


def _wait_or_exit(is_abandoned: Callable[[], bool]) -> None:
    if signal.sigtimedwait(STOPS, AGAIN_SECONDS) or is_abandoned():
        raise typer.Exit(ExitCode.OK)
