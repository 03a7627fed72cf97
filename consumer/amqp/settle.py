"""Acts on verdicts: publish what must follow, await its confirm, then ack. In doubt: no ack."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import pika

from consumer.amqp.consume import Consumer
from consumer.core.delivery import Delivery
from consumer.core.handled import Followup
from publisher_lib.confirms import ConfirmedPublisher
from publisher_lib.routing import CONTENT_TYPE

log = logging.getLogger(__name__)

PERSISTENT: Final = 2
AGAIN_SECONDS: Final = 5.0
"""Between tries to publish a follow-up that the broker would not take."""


@dataclass(slots=True)
class _Settlement:
    delivery: Delivery
    settled: Callable[[], None]
    awaited: int
    refused: list[Followup] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Settler:
    """Settles deliveries. `login` signs the follow-ups, so that their headers are believed."""

    def __init__(self, consumer: Consumer, publisher: ConfirmedPublisher, login: str) -> None:
        self._consumer = consumer
        self._publisher = publisher
        self._login = login
        self._open = 0
        self._idle = threading.Condition()

    def settle(
        self, delivery: Delivery, followups: tuple[Followup, ...], settled: Callable[[], None]
    ) -> None:
        """Ack `delivery` once every follow-up is confirmed; then call `settled`. Thread-safe.

        A follow-up the broker refuses is tried again for as long as the delivery is ours; once
        it is not, the broker delivers the message anew and `settled` is not called.
        """
        if not followups:
            self._consumer.ack(delivery)
            settled()
            return
        with self._idle:
            self._open += 1
        self._publish(delivery, followups, settled)

    def wait_idle(self, timeout_seconds: float) -> bool:
        """Wait until no settlement is open; False when some still were."""
        with self._idle:
            return self._idle.wait_for(lambda: self._open == 0, timeout_seconds)

    def _publish(
        self, delivery: Delivery, followups: tuple[Followup, ...], settled: Callable[[], None]
    ) -> None:
        settlement = _Settlement(delivery, settled, awaited=len(followups))
        for followup in followups:
            confirm = self._publisher.submit(
                followup.exchange,
                followup.routing_key,
                self._properties(delivery, followup),
                delivery.body,
                None,
            )
            confirm.add_done_callback(partial(self._answered, settlement, followup))

    def _answered(self, settlement: _Settlement, followup: Followup, done: Future[None]) -> None:
        error = done.exception()
        with settlement.lock:
            settlement.awaited -= 1
            if error is not None:
                settlement.refused.append(followup)
                log.error(
                    "follow-up not confirmed",
                    extra={"exchange": followup.exchange, "detail": str(error)},
                )
            if settlement.awaited:
                return
        if not settlement.refused:
            self._consumer.ack(settlement.delivery)
            self._closed_one()
            settlement.settled()
        elif self._consumer.is_current(settlement.delivery):
            again = threading.Timer(
                AGAIN_SECONDS,
                self._publish_again,
                (settlement.delivery, tuple(settlement.refused), settlement.settled),
            )
            again.daemon = True
            again.start()
        else:
            self._closed_one()

    def _publish_again(
        self, delivery: Delivery, followups: tuple[Followup, ...], settled: Callable[[], None]
    ) -> None:
        # Most likely an exchange, a queue or its binding went away.
        self._consumer.redeclare()
        self._publish(delivery, followups, settled)

    def _closed_one(self) -> None:
        with self._idle:
            self._open -= 1
            self._idle.notify_all()

    def _properties(self, delivery: Delivery, followup: Followup) -> object:
        original = delivery.properties
        return pika.BasicProperties(
            content_type=original.content_type or CONTENT_TYPE,
            content_encoding=original.content_encoding,
            delivery_mode=PERSISTENT,
            headers=dict(followup.headers),
            message_id=original.message_id,
            timestamp=original.timestamp_seconds,
            type=original.type,
            app_id=original.app_id,
            user_id=self._login,
        )
