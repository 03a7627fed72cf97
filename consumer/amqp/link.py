"""One connection to the broker with its consuming channel, from opening to its end."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

import pika

from consumer.amqp.acks import Acks
from consumer.amqp.properties import read_properties
from consumer.amqp.unacked import Unacked
from consumer.core.delivery import Delivery
from consumer.core.topology import lane_queue
from publisher_lib.broker_url import explain
from publisher_lib.routing import Lane

log = logging.getLogger(__name__)

BULK_DIVISOR: Final = 4
"""Of what a process works on at once bulk is the smaller part: it would slow what is urgent."""

RESUBSCRIBE_SECONDS: Final = 1.0
LEAVE_SECONDS: Final = 2.0


def prefetch_of(lane: Lane, prefetch: int) -> int:
    """Return how much of a lane may be unacked, where of the transactional one `prefetch` may."""
    return max(1, prefetch // BULK_DIVISOR) if lane is Lane.BULK else prefetch


class Link:
    """A consuming channel. `run` is its I/O thread; what is thread-safe says so.

    `generation` binds delivery tags to this channel; `deliver` gets each delivery on the I/O
    thread; `redeclare` makes the queues again after the broker cancelled a consumer; `unacked`
    is told what comes and what is acked.
    """

    def __init__(
        self,
        settings: Any,
        generation: int,
        prefetch: int,
        deliver: Callable[[Delivery], None],
        *,
        redeclare: Callable[[], object],
        unacked: Unacked,
    ) -> None:
        self.generation = generation
        self.is_open = False
        self.was_open = False
        self._prefetch = prefetch
        self._deliver = deliver
        self._redeclare = redeclare
        self._unacked = unacked
        self._wanted: frozenset[Lane] = frozenset()
        self._tags: dict[str, Lane] = {}
        self._subscriptions = 0
        self._has_told = False
        self._settled: deque[int] = deque()
        self._acks = Acks()
        self._flush_due = False
        self._channel: Any = None
        self._end = ""
        self._ended = False
        self._is_ours = False
        """Whether it is we who close the connection."""
        self._lock = threading.Lock()
        self._connection: Any = pika.SelectConnection(
            settings,
            on_open_callback=self._opened,
            on_open_error_callback=self._stopped,
            on_close_callback=self._stopped,
        )

    def run(self) -> str:
        """Serve until the connection ends; return why it did (empty: we closed it)."""
        try:
            self._connection.ioloop.start()
        except Exception as error:  # noqa: BLE001 - pika raises what it cannot read through its loop
            self._end = f"{type(error).__name__} in the I/O loop"
            self._close_broken()
        self.is_open = False
        with self._lock:
            self._ended = True
        self._connection.ioloop.close()
        return self._end

    def call(self, callback: Callable[[], None]) -> None:
        """Run `callback` on the I/O thread; not at all once the link has ended. Thread-safe."""
        with self._lock:
            if not self._ended:
                self._connection.ioloop.add_callback_threadsafe(callback)

    def ack(self, tag: int) -> None:
        """Ack one delivery of this link. Thread-safe."""
        self._settled.append(tag)
        if not self._flush_due:
            self._flush_due = True
            self.call(self._flush)

    def requeue(self, tags: Sequence[int]) -> None:
        """Give deliveries back to their queues, as they came. Thread-safe."""
        self.call(partial(self._requeue, tags))

    def consume(self, lanes: frozenset[Lane]) -> None:
        """Consume these lanes and no other; what was delivered stays ours. Thread-safe."""
        self.call(partial(self._set_wanted, lanes))

    def close(self) -> None:
        """Close after the acks handed in before; the broker requeues the rest. Thread-safe."""
        self.call(self._close)

    def _opened(self, connection: Any) -> None:
        connection.channel(on_open_callback=self._channel_opened)

    def _channel_opened(self, channel: Any) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._channel_closed)
        channel.add_on_cancel_callback(self._cancelled_by_broker)
        self.is_open = self.was_open = True
        self._unacked.connected()
        self._subscribe()

    def _set_wanted(self, lanes: frozenset[Lane]) -> None:
        self._wanted = lanes
        self._subscribe()

    def _subscribe(self) -> None:
        if not self.is_open:
            return
        for lane in self._wanted - set(self._tags.values()):
            self._subscriptions += 1
            tag = f"hopmail.{lane}.{self._subscriptions}"
            self._tags[tag] = lane
            # For the consumers that come after it (https://www.rabbitmq.com/docs/consumer-prefetch).
            self._channel.basic_qos(prefetch_count=prefetch_of(lane, self._prefetch))
            self._channel.basic_consume(
                lane_queue(lane), partial(self._received, lane), consumer_tag=tag
            )
        for tag in [tag for tag, lane in self._tags.items() if lane not in self._wanted]:
            self._channel.basic_cancel(tag)
            del self._tags[tag]
        # While all lanes are held, whoever holds them has said why.
        if self._tags and not self._has_told:
            self._has_told = True
            log.info("consuming", extra={"prefetch": self._prefetch})

    def _received(self, lane: Lane, _channel: Any, method: Any, found: Any, body: bytes) -> None:
        delivery = Delivery(
            lane=lane,
            tag=method.delivery_tag,
            generation=self.generation,
            redelivered=method.redelivered,
            properties=read_properties(found),
            body=body,
            received_seconds=time.monotonic(),
        )
        self._unacked.came(delivery)
        self._deliver(delivery)

    def _flush(self) -> None:
        self._flush_due = False
        tags: list[int] = []
        while self._settled:
            tags.append(self._settled.popleft())
        if self.is_open:
            for tag, is_for_all_below in self._acks.of(tags):
                self._channel.basic_ack(tag, is_for_all_below)
            self._unacked.acked(tags)

    def _requeue(self, tags: Sequence[int]) -> None:
        # What was acked before stands before: an ack of several is for tags that are known.
        self._flush()
        if self.is_open:
            for tag in tags:
                self._channel.basic_nack(tag, requeue=True)
            self._acks.settled(tags)
            self._unacked.acked(tags)

    def _cancelled_by_broker(self, frame: Any) -> None:
        """Subscribe again: the queue was deleted or moved (docs/consumer-cancel)."""
        lane = self._tags.pop(frame.method.consumer_tag, None)
        log.warning("consumer cancelled by the broker", extra={"lane": lane})
        self._connection.ioloop.call_later(RESUBSCRIBE_SECONDS, self._recover)

    def _recover(self) -> None:
        def redeclare() -> None:
            self._redeclare()
            self.call(self._subscribe)

        threading.Thread(target=redeclare, name="redeclare", daemon=True).start()

    def _channel_closed(self, _channel: Any, reason: Exception) -> None:
        self.is_open = False
        if self._connection.is_open:
            self._end = explain(reason)
            self._connection.close()

    def _close(self) -> None:
        if self._connection.is_open:
            self._flush()
            self.is_open = False
            self._is_ours = True
            self._connection.close()
        else:
            self._connection.ioloop.stop()

    def _close_broken(self) -> None:
        """Take leave, so that the broker requeues now and not after two missed heartbeats."""
        self.is_open = False
        with suppress(Exception):
            if self._connection.is_open:
                self._connection.close()
                self._connection.ioloop.call_later(LEAVE_SECONDS, self._connection.ioloop.stop)
                self._connection.ioloop.start()

    def _stopped(self, _connection: Any, reason: Exception) -> None:
        self.is_open = False
        if not self._is_ours:
            self._end = self._end or explain(reason)
        self._connection.ioloop.stop()
