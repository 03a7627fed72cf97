"""Moves messages from a queue to another: each confirmed there before it is acked here."""

import copy
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, Final

from pika import exceptions

from consumer.amqp import tolerant
from consumer.amqp.connection import blocking_connection
from consumer.amqp.properties import PERSISTENT, copy_properties, read_properties
from consumer.core.delivery import Delivery
from consumer.core.followup import LANE
from consumer.core.migration import Copy, Pair, copied, given_up, shortened, undecodable, untrusted
from consumer.core.outcome import Undecodable
from consumer.core.record import record
from consumer.core.waiting import Count
from publisher_lib.confirms import ConfirmedPublisher
from publisher_lib.routing import Lane

NAME: Final = "hopmail topology migrate"

NOT_FOUND: Final = 404

WINDOW: Final = 64
"""Messages in hands at once. Each may have 10 MB."""

CONFIRM_SECONDS: Final = 30.0
IDLE_SECONDS: Final = 0.3
LISTEN_SECONDS: Final = 2.0
"""Between looks at the consuming connection, whose heartbeats want an answer."""

MAX_HEADER_BYTES: Final = 65_536
"""As in a follow-up: a frame breaks at 131 064."""

ENDLESS: Final = 1000
"""So many more than twice what there was: something fills the queue as fast as it is emptied."""


STOP_THEM: Final = "stop its consumers first, or say --while-consumed"


class MigrationStopped(Exception):
    """What was moved is moved, the rest is where it was; the text says why and what to do."""


@record
class Signing:
    """Who signs copies, and whose signature is believed.

    `gives_up_untrusted`: what has the consumer's headers and none of these signatures becomes a
    dead letter; else it stops the migration.
    """

    login: str
    trusted_logins: frozenset[str]
    gives_up_untrusted: bool = False


@record
class Moved:
    """How many messages left the old queue, and how many of these became dead letters."""

    messages: int = 0
    dead: int = 0


def find(urls: tuple[str, ...], queues: Iterable[str]) -> dict[str, Count]:
    """Return what waits in each of the queues that exist, and who consumes it.

    Raises BrokerUnavailable, or MigrationStopped where one may not be looked at.
    """
    found = {}
    with blocking_connection(urls, NAME) as connection:
        channel = connection.channel()
        for name in queues:
            try:
                told = channel.queue_declare(name, passive=True).method
            except exceptions.ChannelClosedByBroker as refusal:
                if refusal.reply_code != NOT_FOUND:
                    raise MigrationStopped(f"{name}: {refusal.reply_text}") from None
                channel = connection.channel()
            else:
                found[name] = Count(told.message_count, told.consumer_count)
    return found


def unbind(urls: tuple[str, ...], pairs: Iterable[Pair]) -> None:
    """Let nothing more come to the old queues by way of the new ones' routing keys.

    Raises BrokerUnavailable, or MigrationStopped where that is not allowed.
    """
    with blocking_connection(urls, NAME) as connection:
        channel = connection.channel()
        for pair in pairs:
            try:
                channel.queue_unbind(pair.old, pair.new.exchange, pair.new.routing_key)
            except exceptions.ChannelClosedByBroker as refusal:
                raise MigrationStopped(
                    f"{pair.old} cannot be unbound ({refusal.reply_text}): use a login that may"
                    " write to it and read the exchange"
                ) from None


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
                for number, (method, properties, body) in enumerate(taken):
                    if alone and number == 0:
                        self._refuse_company()
                    if method is None:
                        self._ack(all_of_them=True)
                        if self._is_empty():
                            break
                        continue
                    self._take(method, properties, body)
                    self._ack(all_of_them=False)
                    if self._messages > most:
                        raise MigrationStopped(
                            f"more comes to {old} than there was: is it bound by another key, or"
                            " published to by its name? End that, then run this again"
                        )
        except exceptions.ChannelClosedByBroker as refusal:
            raise MigrationStopped(f"{old}: {refusal.reply_text}; {STOP_THEM}") from None
        return Moved(self._messages, self._dead)

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
        delivery = Delivery(
            lane=_lane(self._pair, properties.headers or {}),
            tag=method.delivery_tag,
            generation=0,
            redelivered=method.redelivered,
            properties=read_properties(properties),
            body=body,
            received_seconds=time.monotonic(),
        )
        exchange, key, written = self._copy(delivery, properties)
        confirm = self._publisher.submit(exchange, key, written, body, CONFIRM_SECONDS)
        self._under_way.append((method.delivery_tag, confirm))

    def _copy(self, delivery: Delivery, properties: Any) -> tuple[str, str, Any]:
        signing, now = self._signing, datetime.now(UTC)
        if (wrong := undecodable(delivery)) is not None:
            return self._give_up(delivery, wrong)
        if (wrong := untrusted(delivery, self._pair.new, signing.trusted_logins)) is not None:
            if not signing.gives_up_untrusted:
                self._ack(all_of_them=True)
                raise MigrationStopped(
                    f"{self._pair.old}: message {delivery.properties.message_id}:"
                    f" {wrong.violations[0].message}; run this with the consumer's"
                    " HOPMAIL_AMQP_URL, or say --give-up-untrusted to make it a dead letter"
                )
            return self._give_up(delivery, wrong)
        new, login, trusted = self._pair.new, signing.login, signing.trusted_logins
        written = _written(properties, copied(delivery, new, login, trusted, now))
        if not _can_be_written(written):
            written = _written(properties, shortened(delivery, login, trusted, now))
        return new.exchange, new.routing_key, written

    def _give_up(self, delivery: Delivery, wrong: Undecodable) -> tuple[str, str, Any]:
        letter = given_up(delivery, wrong, self._signing.trusted_logins, datetime.now(UTC))
        self._dead += 1
        written = copy_properties(delivery, letter, self._signing.login)
        return letter.exchange, letter.routing_key, written

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


def _written(properties: Any, changed: Copy) -> Any:
    """Return properties as they were, but for what changed; on disk in any case."""
    written = copy.copy(properties)
    written.headers = dict(changed.headers) or None
    written.user_id = changed.user_id
    written.delivery_mode = PERSISTENT
    return written


def _can_be_written(properties: Any) -> bool:
    try:
        return sum(map(len, properties.encode())) <= MAX_HEADER_BYTES
    except Exception:  # noqa: BLE001 - pika reads values that it cannot write, and raises what struct does
        return False


def _lane(pair: Pair, headers: dict[str, Any]) -> Lane:
    names = (pair.new.routing_key.partition(".")[0], str(headers.get(LANE)))
    return next((lane for lane in Lane if lane in names), Lane.TRANSACTIONAL)
