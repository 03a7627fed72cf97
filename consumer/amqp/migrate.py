"""Moves messages from a queue to another: each confirmed there before it is acked here."""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from contextlib import closing
from typing import Any, Final

from pika import exceptions

from consumer.amqp import tolerant
from consumer.amqp.connection import blocking_connection
from consumer.amqp.migrated_copy import Signing, copy_of
from consumer.amqp.old_queues import NAME, MigrationStopped
from consumer.core.migration import Pair
from consumer.core.record import record
from consumer.core.waiting import Count
from publisher_lib.confirms import ConfirmedPublisher

WINDOW: Final = 64
"""Messages in hands at once. Each may have 10 MB."""

CONFIRM_SECONDS: Final = 30.0
IDLE_SECONDS: Final = 0.3
LISTEN_SECONDS: Final = 2.0
"""Between looks at the consuming connection, whose heartbeats want an answer."""

ENDLESS: Final = 1000
"""So many more than twice what there was: something fills the queue as fast as it is emptied."""

STOP_THEM: Final = "stop its consumers first, or say --while-consumed"


@record
class Moved:
    """How many messages left the old queue, and how many of these became dead letters."""

    messages: int = 0
    dead: int = 0


def move(
    urls: tuple[str, ...],
    pair: Pair,
    signing: Signing,
    moved: Callable[[], None],
    *,
    alone: bool = True,
) -> Moved:
    """Move every message there is, oldest first; `moved` is called after each.

    A message is acked once its copy is confirmed: ended at any point, this leaves the rest in the
    old queue, in order, and at most `WINDOW` messages in both. `alone`: refuse beside consumers.
    Raises BrokerUnavailable, PublishError or MigrationStopped.
    """
    tolerant.install()
    publisher = ConfirmedPublisher(urls, name=NAME)
    try:
        with blocking_connection(urls, NAME) as connection:
            return _Move(connection, publisher, pair, signing, moved).run(alone=alone)
    finally:
        publisher.close(CONFIRM_SECONDS)


class _Move:
    """One queue's messages on their way. `_under_way` has their tags, oldest first."""

    def __init__(
        self,
        connection: Any,
        publisher: ConfirmedPublisher,
        pair: Pair,
        signing: Signing,
        moved: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._channel = connection.channel()
        self._publisher = publisher
        self._pair = pair
        self._signing = signing
        self._moved = moved
        self._under_way: deque[tuple[int, Future[None]]] = deque()
        self._messages = 0
        self._dead = 0

    def run(self, *, alone: bool) -> Moved:
        """Move all there is."""
        old = self._pair.old
        self._channel.basic_qos(prefetch_count=WINDOW)
        most = 2 * self._look().messages + ENDLESS
        taken = self._channel.consume(old, exclusive=alone, inactivity_timeout=IDLE_SECONDS)
        try:
            with closing(taken):
                self._empty(taken, most, alone=alone)
        except exceptions.ChannelClosedByBroker as refusal:
            raise MigrationStopped(f"{old}: {refusal.reply_text}; {STOP_THEM}") from None
        return Moved(self._messages, self._dead)

    def _empty(self, taken: Iterable[Any], most: int, *, alone: bool) -> None:
        looked_empty = False
        for number, (method, properties, body) in enumerate(taken):
            if alone and number == 0:
                self._refuse_company()
            if method is None:
                self._ack(all_of_them=True)
                is_empty = self._is_empty()
                # Twice: what was on its way to us at the first look has come since.
                if looked_empty and is_empty:
                    return
                looked_empty = is_empty
                continue
            looked_empty = False
            self._take(method, properties, body)
            self._ack(all_of_them=False)
            if self._messages > most:
                raise MigrationStopped(
                    f"more comes to {self._pair.old} than there was: is it bound by another key,"
                    " or published to by its name? End that, then run this again"
                )

    def _refuse_company(self) -> None:
        # Of a quorum queue several may be exclusive consumers (RabbitMQ 3.10).
        if self._look().consumers > 1:
            raise MigrationStopped(f"{self._pair.old} has another consumer; {STOP_THEM}")

    def _look(self) -> Count:
        told = self._channel.queue_declare(self._pair.old, passive=True).method
        return Count(told.message_count, told.consumer_count)

    def _is_empty(self) -> bool:
        told = self._look()
        # Of a queue whose leader is away 0 and 0 is told; but we consume.
        return told.messages == 0 and told.consumers > 0

    def _take(self, method: Any, properties: Any, body: bytes) -> None:
        try:
            made = copy_of(self._pair, self._signing, method, properties, body)
        except MigrationStopped:
            self._ack(all_of_them=True)
            raise
        self._dead += made.is_dead
        confirm = self._publisher.submit(
            made.exchange, made.routing_key, made.properties, body, CONFIRM_SECONDS
        )
        self._under_way.append((method.delivery_tag, confirm))

    def _ack(self, *, all_of_them: bool) -> None:
        """Ack what is confirmed, in order. Raises PublishError for what is not."""
        while self._under_way:
            tag, confirm = self._under_way[0]
            if not confirm.done() and not all_of_them and len(self._under_way) < WINDOW:
                return
            while not confirm.done():
                wait((confirm,), LISTEN_SECONDS)
                self._connection.process_data_events(0)
            confirm.result()
            self._channel.basic_ack(tag)
            self._under_way.popleft()
            self._messages += 1
            self._moved()
