"""`hopmail consume`: one consumer process."""

import gc
import logging
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import typer

from consumer.amqp.consume import Consumer
from consumer.amqp.inbox import Inbox
from consumer.amqp.retention import Retention
from consumer.amqp.settle import Settler
from consumer.cli.cautions import cautions
from consumer.cli.dead_body import closer_or_exit
from consumer.cli.measuring import SUPERVISOR, Measuring
from consumer.cli.obey import Obeying
from consumer.cli.start import ledger_or_exit, logs_or_exit, relays_or_exit, settings_or_exit
from consumer.core.decide import RetryPolicy
from consumer.core.exit_code import ExitCode
from consumer.core.handled import Followup, Handled
from consumer.core.topology import topology
from consumer.daemon import FULL_HOLD, STOPS, Daemon
from consumer.desk import Desk
from consumer.intake import Intake
from consumer.ledger.ledger import Ledger
from consumer.ledger.none import NoLedger
from consumer.ledger.opening import Hands
from consumer.ledger.store import LedgerTrouble
from consumer.ops import logs
from consumer.ops.control import Control
from consumer.ops.handled import log_handled
from consumer.ops.one_cpu import OneCPU
from consumer.ops.teller import Teller
from consumer.settings import Settings
from consumer.worker import Worker
from publisher_lib.confirms import ConfirmedPublisher
from publisher_lib.routing import Lane

log = logging.getLogger(__name__)

COLLECT_AFTER: Final = 10_000
"""Objects more than at the last look; Python's own 700 is less than what is in hands at once."""

FIRST_WORKER: Final = 0
"""Of a host: it does what one process is enough for."""

AGAIN_SECONDS: Final = 3.0
"""Until the ledger is opened once more, while its disk is full or failing."""

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
        daemon = _daemon(settings, measuring, teller, keep_house, _abandoned())
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
    for caution in cautions(settings):
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


def _daemon(
    settings: Settings,
    measuring: Measuring | None,
    teller: Teller,
    keep_house: Callable[[], None],
    is_abandoned: Callable[[], bool],
) -> Daemon:
    def hold_when_full(lane: Lane, full: bool) -> None:  # noqa: FBT001 - the inbox's callback
        (consumer.hold if full else consumer.release)(FULL_HOLD, (lane,))

    close = closer_or_exit(settings)
    ledger, hands = _ledger(settings, measuring, keep_house, is_abandoned)
    relays = relays_or_exit(settings)
    # More would wait for one another, the one for urgent mail too.
    sessions = min(settings.smtp_sessions, relays.sessions or settings.smtp_sessions)
    inbox = Inbox(sessions, hold_when_full)
    consumer = Consumer(settings.amqp_urls, topology(settings.retry_delays), settings.prefetch)
    publisher = ConfirmedPublisher(settings.amqp_urls, name="hopmail follow-ups")
    settler = Settler(consumer, publisher, settings.login, close)
    worker = Worker(
        RetryPolicy(settings.retry_delays, settings.max_age),
        settings.trusted_logins,
        lambda: datetime.now(UTC),
        settings.ledger_retention,
        hold_if_uncertain=settings.if_uncertain == "hold",
        diversion=settings.diversion,
        senders=settings.sender_policy,
    )
    intake = Intake(worker, ledger, hands, inbox, consumer.is_current)
    if measuring is not None:
        measuring.attach(consumer, relays, ledger)
    desk = Desk(
        worker=worker,
        ledger=ledger,
        hands=hands,
        inbox=inbox,
        intake=intake,
        consumer=consumer,
        settler=settler,
        record=teller.tell,
        copied=measuring.copied if measuring else _uncounted,
    )
    return Daemon(
        inbox=inbox,
        intake=intake,
        ledger=ledger,
        hands=hands,
        desk=desk,
        consumer=consumer,
        publisher=publisher,
        settler=settler,
        relays=relays,
        sessions=sessions,
        keep_house=keep_house,
        is_abandoned=is_abandoned,
    )


def _ledger(
    settings: Settings,
    measuring: Measuring | None,
    keep_house: Callable[[], None],
    is_abandoned: Callable[[], bool],
) -> tuple[Ledger | NoLedger, Hands]:
    """Open the ledger, once its disk lets us.

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


def _uncounted(_lane: Lane, _copy: Followup) -> None:
    """Stand for figures that nobody wants."""


def _recorder(measuring: Measuring | None) -> Callable[..., None]:
    def record(*records: Handled) -> None:
        try:
            for handled in records:
                log_handled(handled)
        finally:
            if measuring is not None:
                measuring.record(*records)

    return record
