"""Acts on verdicts: publish what must follow, await its confirm, then ack. In doubt: no ack."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from consumer.amqp.consume import Consumer
from consumer.amqp.properties import copy_properties
from consumer.core.correlation import correlation
from consumer.core.delivery import Delivery
from consumer.core.handled import Followup
from consumer.core.record import record
from publisher_lib.confirms import ConfirmedPublisher

log = logging.getLogger(__name__)

AGAIN_SECONDS: Final = 5.0
"""Between tries to publish a follow-up that the broker would not take."""


Commit = Callable[[Callable[[], None]], None]
"""Keeps what was settled, and calls back once it is kept."""

Close = Callable[[Delivery, Followup], Followup]
"""Returns a follow-up with the body that it is to have on the broker."""


def as_it_is(_delivery: Delivery, followup: Followup) -> Followup:
    """Leave a follow-up the delivery's own body."""
    return followup


class NotClosed(Exception):
    """A follow-up could not be given the body that it is to have on the broker."""


@record
class Settlement:
    """A delivery to be settled.

    `commit` is asked to keep how it ended once every one of `followups` is on the broker, and
    `settled` is called after the ack. `abandoned` is called in their place when the delivery is
    no longer ours and not every follow-up is on the broker: it will be delivered anew.
    """

    delivery: Delivery
    followups: tuple[Followup, ...]
    commit: Commit
    settled: Callable[[], None]
    abandoned: Callable[[], None]


@dataclass(slots=True)
class _Confirms:
    settlement: Settlement
    awaited: int
    refused: list[Followup] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Settler:
    """Settles deliveries. `login` signs the follow-ups, so that their headers are believed.

    `close` is asked for each before it is published. Where it raises, it is as if the broker had
    refused the follow-up: with the body as it is, it would tell what is to be kept secret.
    """

    def __init__(
        self,
        consumer: Consumer,
        publisher: ConfirmedPublisher,
        login: str,
        close: Close = as_it_is,
    ) -> None:
        self._consumer = consumer
        self._publisher = publisher
        self._login = login
        self._close = close
        self._open = 0
        self._idle = threading.Condition()

    def settle(self, settlement: Settlement) -> None:
        """Publish the follow-ups, await their confirms, commit, ack. Thread-safe.

        A follow-up the broker refuses is tried again for as long as the delivery is ours.
        """
        with self._idle:
            self._open += 1
        if settlement.followups:
            self._publish(settlement, settlement.followups)
        else:
            self._commit(settlement)

    def wait_idle(self, timeout_seconds: float) -> bool:
        """Wait until no settlement is open; False when some still were."""
        with self._idle:
            return self._idle.wait_for(lambda: self._open == 0, timeout_seconds)

    def _publish(self, settlement: Settlement, followups: tuple[Followup, ...]) -> None:
        confirms = _Confirms(settlement, awaited=len(followups))
        for followup in followups:
            confirm = self._submitted(settlement.delivery, followup)
            confirm.add_done_callback(partial(self._answered, confirms, followup))

    def _submitted(self, delivery: Delivery, followup: Followup) -> Future[None]:
        try:
            copy = self._close(delivery, followup)
        except Exception as error:  # noqa: BLE001 - whatever it is, there must be no ack
            failed: Future[None] = Future()
            # Not the error's own words: they may quote the body.
            failed.set_exception(NotClosed(f"its body is still open: {type(error).__name__}"))
            return failed
        return self._publisher.submit(
            copy.exchange,
            copy.routing_key,
            copy_properties(delivery, copy, self._login),
            delivery.body if copy.body is None else copy.body,
            None,
        )

    def _answered(self, confirms: _Confirms, followup: Followup, done: Future[None]) -> None:
        error = done.exception()
        with confirms.lock:
            confirms.awaited -= 1
            if error is not None:
                confirms.refused.append(followup)
                log.error(
                    "follow-up not confirmed",
                    extra=correlation(confirms.settlement.delivery.properties)
                    | {"exchange": followup.exchange, "detail": str(error)},
                )
            if confirms.awaited:
                return
        settlement = confirms.settlement
        if not confirms.refused:
            self._commit(settlement)
        elif self._consumer.is_current(settlement.delivery):
            again = threading.Timer(
                AGAIN_SECONDS, self._publish_again, (settlement, tuple(confirms.refused))
            )
            again.daemon = True
            again.start()
        else:
            settlement.abandoned()
            self._closed_one()

    def _publish_again(self, settlement: Settlement, followups: tuple[Followup, ...]) -> None:
        # Most likely an exchange, a queue or its binding went away.
        self._consumer.redeclare()
        self._publish(settlement, followups)

    def _commit(self, settlement: Settlement) -> None:
        def kept() -> None:
            self._consumer.ack(settlement.delivery)
            self._closed_one()
            settlement.settled()

        settlement.commit(kept)

    def _closed_one(self) -> None:
        with self._idle:
            self._open -= 1
            self._idle.notify_all()
