"""The dead-letter queue in a person's hands: looked through, one at a time settled."""

import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

from pika import exceptions

from consumer.amqp import tolerant
from consumer.amqp.connection import BrokerUnavailable, blocking_connection
from consumer.amqp.give_back import give_back
from consumer.amqp.properties import read_properties
from consumer.core.dead_letter import lane_of
from consumer.core.delivery import Delivery
from consumer.core.topology import DEAD_QUEUE

LOOKING: Final = 1000
"""Dead letters that one consumer may hold unacked, where each is let go of as it comes: quorum
queues allow 2000 at most, whatever is asked for. Once they are used up another consumer is added.
"""

ACTING: Final = 50
"""The same where their bodies are needed: so many may lie in memory at once."""

QUIET_SECONDS: Final = 1.0
LAST_SECONDS: Final = 0.1
"""For what is under way when we leave, where there may be nothing."""

PATIENCE_SECONDS: Final = 30.0

OTHERS_SECONDS: Final = 10.0
AGAIN_SECONDS: Final = 0.2

NAME: Final = "hopmail deadletters"
NOT_FOUND: Final = 404

T = TypeVar("T")


class InOtherHands(Exception):
    """Somebody else looks through the dead letters: what they hold could not be seen."""


class DeadLetters:
    """The dead letters there were when it was opened, oldest first; what is not acked stays.

    Nobody else looks through them meanwhile, so that all of them are seen. What comes after it was
    opened is left for the next time.
    """

    def __init__(self, connection: Any, piece: int, others_seconds: float = OTHERS_SECONDS) -> None:
        self._connection = connection
        self._piece = piece
        self._tags: list[str] = []
        self._credit = 0
        self._unacked: dict[int, str] = {}
        self._came = 0
        self._look: Callable[[Delivery], object] = _whole
        self._found: deque[object] = deque()
        self._channel: Any = None
        self.count = 0
        """How many there were when it was opened."""
        self.unseen = 0
        """How many of them somebody else took before we saw them, once all others were seen."""
        self.count = self._open_alone(others_seconds)

    def find(self, matches: Callable[[Delivery], bool]) -> list[Delivery]:
        """Return those that match, oldest first."""
        return list(self.each(lambda delivery: delivery if matches(delivery) else None))

    def each(self, look: Callable[[Delivery], T | None]) -> Iterator[T]:
        """Yield what `look` makes of each as it comes, unless that is None: it is done with then.

        Raises BrokerUnavailable.
        """
        self._look = look
        while self._found or self._came < self.count:
            if not self._found and not self._wait_for_more():
                self.unseen = self.count - self._came
                return
            while self._found:
                yield self._found.popleft()  # type: ignore[misc]  # it is what `look` made

    def ack(self, delivery: Delivery) -> None:
        """Take one out of the queue."""
        self._channel.basic_ack(delivery.tag)
        self._unacked.pop(delivery.tag, None)

    def wait(self, seconds: float) -> None:
        """Wait, with an ear for the broker: else it would miss our heartbeats."""
        until = time.monotonic() + seconds
        self._connection.process_data_events(0)
        while (left := until - time.monotonic()) > 0:
            self._connection.process_data_events(left)

    def close(self) -> None:
        """Give back what is not acked, in its order.

        That counts as a redelivery, of which this queue allows any number.
        """
        self._await_all()
        for tag in self._tags:
            self._channel.basic_cancel(tag)
        give_back(self._channel, self._unacked, lambda: int(self._state().message_count))
        self._channel.close()

    def _open_alone(self, patience_seconds: float) -> int:
        """Take the queue for ourselves; return how many messages it has.

        An exclusive consumer would not do: it must be the only one, and one is not enough.
        """
        until = time.monotonic() + patience_seconds
        while True:
            self._channel = self._connection.channel()
            state = self._state()
            if not state.consumer_count and self._is_empty(state.message_count):
                return 0
            if not state.consumer_count:
                self._consume(state.message_count)
                if self._state().consumer_count == len(self._tags):
                    return int(state.message_count)
            self._give_way()
            if time.monotonic() > until:
                raise InOtherHands(
                    "another command, or another program, has the dead letters in hands"
                    f" (a consumer of {DEAD_QUEUE}): try again when it has ended"
                )
            self.wait(AGAIN_SECONDS * (1 + random.random()))  # noqa: S311 - no secret

    def _is_empty(self, told: int) -> bool:
        """Return whether nothing lies there: 0 is told, too, of a queue whose leader is away."""
        return not told and self._channel.basic_get(DEAD_QUEUE)[0] is None

    def _give_way(self) -> None:
        self._channel.close()
        self._tags.clear()
        self._unacked.clear()
        self._credit = 0

    def _state(self) -> Any:
        return self._channel.queue_declare(DEAD_QUEUE, passive=True).method

    def _consume(self, most: int) -> None:
        credit = min(self._piece, most)
        self._channel.basic_qos(prefetch_count=credit)
        self._tags.append(self._channel.basic_consume(DEAD_QUEUE, self._take))
        self._credit += credit

    def _take(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self._unacked[method.delivery_tag] = method.consumer_tag
        self._came += 1
        if self._came > self.count:
            return
        seen = self._look(
            Delivery(
                lane=lane_of(properties.headers or {}),
                tag=method.delivery_tag,
                generation=0,
                redelivered=method.redelivered,
                properties=read_properties(properties),
                body=body,
                received_seconds=time.monotonic(),
            )
        )
        if seen is not None:
            self._found.append(seen)

    def _wait_for_more(self) -> bool:
        """Wait for the next; False when the queue has none for us."""
        until = time.monotonic() + PATIENCE_SECONDS
        before = self._came
        while self._came == before:
            if len(self._unacked) >= self._credit:
                self._consume(self.count - self._came)
            if self._comes_within(QUIET_SECONDS):
                return True
            if not self._state().message_count:
                # What comes before that answer is heard after it. If nothing does, somebody took
                # one by a single get: by the management page, say.
                return self._comes_within(0)
            if time.monotonic() > until:
                raise BrokerUnavailable(f"{DEAD_QUEUE} gave nothing for {PATIENCE_SECONDS:g} s")
        return True

    def _await_all(self) -> None:
        """Have all there was, and what consumers have credit for.

        What was given back before lies behind what is given back now: of a part the order would
        not stay. And what is under way when a consumer is cancelled goes back before older ones.
        """
        self._look = _whole
        while self._came < self.count and self._wait_for_more():
            pass
        while len(self._unacked) < self._credit and self._comes_within(LAST_SECONDS):
            pass

    def _comes_within(self, seconds: float) -> bool:
        before, until = self._came, time.monotonic() + seconds
        left = seconds
        while self._came == before and left >= 0:
            self._connection.process_data_events(left)
            left = until - time.monotonic()
        return self._came > before


@contextmanager
def dead_letters(
    urls: tuple[str, ...], piece: int = ACTING, others_seconds: float = OTHERS_SECONDS
) -> Iterator[DeadLetters]:
    """Open the dead-letter queue for the length of a block.

    Raises BrokerUnavailable, and InOtherHands where somebody else goes on looking through it.
    """
    tolerant.install()
    with blocking_connection(urls, NAME) as connection:
        try:
            queue = DeadLetters(connection, piece, others_seconds)
        except exceptions.ChannelClosedByBroker as refusal:
            if refusal.reply_code != NOT_FOUND:
                raise
            raise BrokerUnavailable(
                f"there is no queue {DEAD_QUEUE} in this virtual host; run `hopmail topology apply`"
            ) from None
        try:
            yield queue
        finally:
            # A lost connection gives them back; what ended the block is what is to be told.
            if connection.is_open:
                with suppress(exceptions.AMQPError, BrokerUnavailable):
                    queue.close()


def _whole(_delivery: Delivery) -> None:
    """Stand for the look at what comes before anybody looks."""
