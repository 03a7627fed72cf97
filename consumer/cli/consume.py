"""`hopmail consume`: one consumer process."""

import gc
import logging
import os
from collections.abc import Callable
from typing import Final

import typer

from consumer.amqp.retention import Retention
from consumer.cli.assembly import assembled
from consumer.cli.cautions import cautions
from consumer.cli.measuring import SUPERVISOR, Measuring
from consumer.cli.obey import Obeying
from consumer.cli.start import logs_or_exit, settings_or_exit
from consumer.core.handled import Handled
from consumer.ops import logs
from consumer.ops.control import Control
from consumer.ops.handled import log_handled
from consumer.ops.one_cpu import OneCPU
from consumer.ops.teller import Teller
from consumer.settings import Settings

log = logging.getLogger(__name__)

COLLECT_AFTER: Final = 10_000
"""Objects more than at the last look; Python's own 700 is less than what is in hands at once."""

FIRST_WORKER: Final = 0
"""Of a host: it does what one process is enough for."""

LEAVE_SECONDS: Final = 1.0
"""For the last lines on what was handled."""


def consume() -> None:
    """Run one consumer process, for who supervises it himself.

    Until SIGTERM. `hopmail run` keeps several running.
    """
    settings = settings_or_exit()
    archive = logs_or_exit(settings, settings.worker)
    obeying = Obeying(Control(settings.state_dir), settings.log_level)
    obeying.look()
    _warn(settings)
    # Threads run where the one that starts them does.
    one_cpu = OneCPU(settings.worker)
    folder = settings.metrics_dir
    measuring = Measuring(settings, folder) if folder else None

    def keep_house() -> None:
        one_cpu.keep()
        if measuring is not None:
            measuring.heartbeat()
        if archive is not None:
            archive.tend()
        obeying.look()

    retention = _retention(settings, measuring)
    teller = Teller(_recorder(measuring), logs.gathered)
    try:
        daemon = assembled(settings, measuring, teller, keep_house, _abandoned())
        obeying.attach(daemon)
        teller.start()
        if measuring:
            measuring.start()
        if retention:
            retention.start()
        _spare_the_collector()
        code = daemon.run(settings.grace.total_seconds())
    finally:
        if retention:
            retention.close(LEAVE_SECONDS)
        teller.close(LEAVE_SECONDS)
        if measuring:
            measuring.stop()
    raise typer.Exit(code)


def _warn(settings: Settings) -> None:
    for caution in cautions(settings).values():
        log.warning("not for production", extra={"detail": caution})


def _spare_the_collector() -> None:
    """Look for cycles less often: a mail leaves none, and is some hundred objects meanwhile."""
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


def _abandoned() -> Callable[[], bool]:
    """Return what tells whether the supervisor that started this process has ended without it.

    Nobody would stop or replace such a process, nor read its log.
    """
    supervisor = os.environ.get(SUPERVISOR)
    return lambda: supervisor is not None and os.getppid() != int(supervisor)


def _retention(settings: Settings, measuring: Measuring | None) -> Retention | None:
    if settings.deadletter_retention is None or settings.worker != FIRST_WORKER:
        return None
    return Retention(
        settings.amqp_urls,
        settings.deadletter_retention,
        settings.trusted_logins,
        measuring.dead_letter_removed if measuring else _unnoted,
    )


def _unnoted(_reason: str) -> None:
    """Stand for a figure that nobody wants."""


def _recorder(measuring: Measuring | None) -> Callable[..., None]:
    def record(*records: Handled) -> None:
        try:
            for handled in records:
                log_handled(handled)
        finally:
            if measuring is not None:
                measuring.record(*records)

    return record
