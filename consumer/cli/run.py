"""`hopmail run`: the consumer processes under supervisor, in the foreground."""

import os
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

from consumer.cli.dead_body import closer_or_exit
from consumer.cli.run_log import log_variables
from consumer.cli.start import (
    check_archive_or_exit,
    ledger_or_exit,
    relays_or_exit,
    settings_or_exit,
)
from consumer.ledger.store import LedgerTrouble
from consumer.ops.asked import LOG_LEVEL
from consumer.ops.control import Control
from consumer.ops.metrics_files import sweep
from consumer.settings import Settings

PACKAGE: Final = Path(__file__).parents[1]
CONFIGURATION: Final = "deploy/supervisord.conf"

STOP_SLACK: Final = timedelta(seconds=10)
"""Past the grace time, before supervisor kills: leaving relay and broker takes a moment too."""


def run() -> None:
    """Keep HOPMAIL_PROCESSES consumer processes running.

    Until SIGTERM. Exits 0 after a stop, 78 where settings, topology or ledger are wrong, 1 when
    no process could be started.
    """
    settings = settings_or_exit()
    # Here too: told once, and not by each process.
    relays_or_exit(settings)
    check_archive_or_exit(settings)
    closer_or_exit(settings)
    # A disk that is full now is waited for, by each of them.
    with suppress(LedgerTrouble):
        _ledger, hands = ledger_or_exit(settings)
        hands.close()
    # Where it cannot be, each process says that it obeys.
    with suppress(OSError):
        Control(settings.state_dir).ask(LOG_LEVEL, None)
    if settings.metrics_dir is not None:
        sweep(settings.metrics_dir, settings.processes)
    command = [sys.executable, "-P", "-m", "consumer.cli.supervise", str(_configuration())]
    # In this process's place, so that signals reach supervisor itself.
    os.execve(sys.executable, command, _environment(settings))  # noqa: S606 - our own program


def _environment(settings: Settings) -> dict[str, str]:
    """Return what deploy/supervisord.conf expands, and where Python finds this package."""
    stop_seconds = (settings.grace + STOP_SLACK).total_seconds()
    path = filter(None, (str(PACKAGE.parent), os.environ.get("PYTHONPATH")))
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path),
        "SUPERVISE_PYTHON": sys.executable,
        "SUPERVISE_PROCESSES": str(settings.processes),
        "SUPERVISE_STOP_SECONDS": f"{stop_seconds:.0f}",
        **log_variables(settings),
    }


def _configuration() -> Path:
    """Return the file's place in an installed wheel, or else in a source checkout."""
    installed = PACKAGE / CONFIGURATION
    return installed if installed.exists() else PACKAGE.parent / CONFIGURATION
