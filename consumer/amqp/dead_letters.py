"""The dead-letter queue in a person's hands: looked through, one at a time settled."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

from pika import exceptions

from consumer.amqp import tolerant
from consumer.amqp.connection import BrokerUnavailable, blocking_connection
from consumer.amqp.hold import Hold
from consumer.amqp.properties import read_properties
from consumer.core.death import lane_of
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

NAME: Final = "hopmail deadletters"
ACCESS_REFUSED: Final = 403
NOT_FOUND: Final = 404

T = TypeVar("T")


class MayNotRead(BrokerUnavailable):
    """The login has no right to read the dead letters."""


class Stopped(Exception):
    """A person wants it to end, and it has ended where nothing is torn."""


class DeadLetters:
    """The dead letters there were when it was opened, oldest first; what is not acked stays.

    Nobody else looks through them meanwhile, so that all of them are seen. What comes after it was
    opened is left for the next time.
    """

    def __init__(self, connection: Any, piece: int, others_seconds: float = OTHERS_SECONDS) -> None:
        self._connection = connection
        self._hold = Hold(connection, DEAD_QUEUE, piece, self._take)
        self._came = 0
        self._look: Callable[[Delivery], object] = _whole
        self._found: deque[object] = deque()
        self.count = 0
        """How many there were when it was opened."""
        self.is_stopped: Callable[[], bool] = lambda: False
        """Whether to look no further."""
        self.unseen = 0
        """How many of them somebody else took before we saw them, once all others were seen."""
        self.count = self._hold.open(others_seconds)

    def find(self, matches: Callable[[Delivery], bool]) -> list[Delivery]:
        """Return those that match, oldest first."""
        return list(self.each(lambda delivery: delivery if matches(delivery) else None))

    def each(self, look: Callable[[Delivery], T | None]) -> Iterator[T]:
        """Yield what `look` makes of each as it comes, unless that is None: it is done with then.

        Raises BrokerUnavailable, and Stopped.
        """
        self._look = look
        while self._found or self._came < self.count:
            if not self._found and not self._wait_for_more():
                self.unseen = self.count - self._came
                return
            while self._found:
                self._heed()
                yield self._found.popleft()  # type: ignore[misc]  # it is what `look` made

    def ack(self, delivery: Delivery) -> None:
        """Take one out of the queue."""
        self._hold.ack(delivery.tag)

    def wait(self, seconds: float) -> None:
        """Wait, with an ear for the broker: else it would miss our heartbeats."""
        self._hold.wait(seconds)

    def close(self) -> None:
        """Give back what is not acked, in its order."""
        self._await_all()
        self._hold.close()

    def _take(self, method: Any, properties: Any, body: bytes) -> None:
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
            self._heed()
            if self._hold.is_spent:
                self._hold.consume(self.count - self._came)
            if self._comes_within(QUIET_SECONDS):
                return True
            if not self._hold.ready():
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
        self._look, self.is_stopped = _whole, lambda: False
        while self._came < self.count and self._wait_for_more():
            pass
        while not self._hold.is_spent and self._comes_within(LAST_SECONDS):
            pass

    def _heed(self) -> None:
        if self.is_stopped():
            raise Stopped

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

    Raises BrokerUnavailable, MayNotRead, and InOtherHands where somebody else goes on looking
    through it.
    """
    tolerant.install()
    with blocking_connection(urls, NAME) as connection:
        try:
            queue = DeadLetters(connection, piece, others_seconds)
        except exceptions.ChannelClosedByBroker as refusal:
            if refusal.reply_code == ACCESS_REFUSED:
                raise MayNotRead(
                    f"this login may not read {DEAD_QUEUE}; `hopmail topology users` prints the"
                    " rights of one that may"
                ) from None
            if refusal.reply_code != NOT_FOUND:
                raise
            raise BrokerUnavailable(
                f"there is no queue {DEAD_QUEUE} in this virtual host; run `hopmail topology apply`"
            ) from None
        is_torn = False
        try:
            yield queue
        except KeyboardInterrupt:
            # pika may have lost a delivery that it had in hands: it would be awaited in vain.
            is_torn = True
            raise
        finally:
            # A lost connection gives them back; what ended the block is what is to be told.
            if connection.is_open and not is_torn:
                with suppress(exceptions.AMQPError, BrokerUnavailable):
                    queue.close()


def _whole(_delivery: Delivery) -> None:
    """Stand for the look at what comes before anybody looks."""
