"""`hopmail consume`: one consumer process."""

from collections.abc import Callable
from datetime import UTC, datetime

import typer

from consumer.amqp.consume import Consumer
from consumer.amqp.inbox import Inbox
from consumer.amqp.settle import Settler
from consumer.cli.start import relays_or_exit, settings_or_exit
from consumer.core.decide import RetryPolicy
from consumer.core.handled import Handled
from consumer.core.topology import topology
from consumer.daemon import FULL_HOLD, Daemon
from consumer.ops import logs
from consumer.ops.handled import log_handled
from consumer.ops.metrics import Metrics
from consumer.settings import Settings
from consumer.worker import Worker
from publisher_lib.confirms import ConfirmedPublisher
from publisher_lib.routing import Lane


def consume() -> None:
    """Deliver mail until SIGTERM, in one process; `hopmail run` keeps several running."""
    settings = settings_or_exit()
    logs.configure(settings.log_level, settings.log_format, settings.worker)
    folder = settings.metrics_dir
    metrics = Metrics(folder, settings.worker) if folder else None
    daemon = _daemon(settings, metrics)
    if metrics:
        metrics.start()
    code = daemon.run(settings.grace.total_seconds())
    if metrics:
        metrics.remove()
    raise typer.Exit(code)


def _daemon(settings: Settings, metrics: Metrics | None) -> Daemon:
    def hold_when_full(lane: Lane, full: bool) -> None:  # noqa: FBT001 - the inbox's callback
        (consumer.hold if full else consumer.release)(FULL_HOLD, (lane,))

    inbox = Inbox(settings.smtp_sessions, hold_when_full)
    consumer = Consumer(
        settings.amqp_urls, topology(settings.retry_delays), settings.prefetch, inbox
    )
    publisher = ConfirmedPublisher(settings.amqp_urls, name="hopmail follow-ups")
    relays = relays_or_exit(settings)
    policy = RetryPolicy(settings.retry_delays, settings.max_age)
    if metrics is not None:
        metrics.watch(is_connected=lambda: consumer.is_connected, breakers=relays.breakers)
    return Daemon(
        inbox=inbox,
        consumer=consumer,
        publisher=publisher,
        settler=Settler(consumer, publisher, settings.login),
        relays=relays,
        worker=Worker(policy, settings.trusted_logins, lambda: datetime.now(UTC)),
        sessions=settings.smtp_sessions,
        record=_recorder(metrics),
        heartbeat=metrics.heartbeat if metrics else _nothing,
    )


def _recorder(metrics: Metrics | None) -> Callable[[Handled], None]:
    def record(handled: Handled) -> None:
        log_handled(handled)
        if metrics is not None:
            metrics.record(handled)

    return record


def _nothing() -> None:
    """Stand for the heartbeat where nobody listens."""
