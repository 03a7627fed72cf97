"""Puts one consumer process together, from its settings."""

from collections.abc import Callable
from datetime import UTC, datetime

from consumer.amqp.consume import Consumer
from consumer.amqp.inbox import Inbox
from consumer.amqp.settle import Settler
from consumer.cli.dead_body import closer_or_exit
from consumer.cli.ledger_wait import ledger_when_ready
from consumer.cli.measuring import Measuring
from consumer.cli.start import relays_or_exit
from consumer.core.decide import RetryPolicy
from consumer.core.handled import Followup
from consumer.core.topology import topology
from consumer.daemon import FULL_HOLD, Daemon
from consumer.desk import Desk
from consumer.intake import Intake
from consumer.ops.teller import Teller
from consumer.settings import Settings
from consumer.worker import Worker
from publisher_lib.confirms import ConfirmedPublisher
from publisher_lib.routing import Lane


def assembled(
    settings: Settings,
    measuring: Measuring | None,
    teller: Teller,
    keep_house: Callable[[], None],
    is_abandoned: Callable[[], bool],
) -> Daemon:
    """Return the daemon that the settings ask for; its ledger's disk may be waited for.

    Exits with 78 where they are wrong.
    """

    def hold_when_full(lane: Lane, full: bool) -> None:  # noqa: FBT001 - the inbox's callback
        (consumer.hold if full else consumer.release)(FULL_HOLD, (lane,))

    close = closer_or_exit(settings)
    ledger, hands = ledger_when_ready(settings, measuring, keep_house, is_abandoned)
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


def _uncounted(_lane: Lane, _copy: Followup) -> None:
    """Stand for figures that nobody wants."""
