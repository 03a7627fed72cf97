"""A queue in one program's hands: as many consumers of it as are needed, and nobody else's."""

import random
import time
from collections.abc import Callable
from typing import Any, Final

from consumer.amqp.give_back import give_back

AGAIN_SECONDS: Final = 0.2

Take = Callable[[Any, Any, bytes], None]
"""Is told of each delivery: its method, properties and body."""


class InOtherHands(Exception):
    """Somebody else looks through the queue: what they hold could not be seen."""


class Hold:
    """The only consumers of a queue, each with a credit of `piece` deliveries at most.

    What is not acked is given back in its order.
    """

    def __init__(self, connection: Any, queue: str, piece: int, take: Take) -> None:
        self._connection = connection
        self._queue = queue
        self._piece = piece
        self._take = take
        self._channel: Any = None
        self._tags: list[str] = []
        self._unacked: dict[int, str] = {}
        self._credit = 0

    @property
    def is_spent(self) -> bool:
        """Whether its consumers hold as much as they may."""
        return len(self._unacked) >= self._credit

    def open(self, patience_seconds: float) -> int:
        """Take the queue for ourselves; return how many messages it has. Raises InOtherHands.

        An exclusive consumer would not do: it must be the only one, and one is not enough.
        """
        until = time.monotonic() + patience_seconds
        while (messages := self._try()) is None:
            self._give_way()
            if time.monotonic() > until:
                raise InOtherHands(
                    "another command, or another program, has the dead letters in hands"
                    f" (a consumer of {self._queue}): try again when it has ended"
                )
            self.wait(AGAIN_SECONDS * (1 + random.random()))  # noqa: S311 - no secret
        return messages

    def consume(self, most: int) -> None:
        """Add a consumer; `most` is how many messages it is to bring."""
        credit = min(self._piece, most)
        self._channel.basic_qos(prefetch_count=credit)
        self._tags.append(self._channel.basic_consume(self._queue, self._taken))
        self._credit += credit

    def ready(self) -> int:
        """Return how many messages nobody holds."""
        return int(self._state().message_count)

    def wait(self, seconds: float) -> None:
        """Wait, with an ear for the broker: else it would miss our heartbeats."""
        until = time.monotonic() + seconds
        self._connection.process_data_events(0)
        while (left := until - time.monotonic()) > 0:
            self._connection.process_data_events(left)

    def ack(self, tag: int) -> None:
        """Take one out of the queue."""
        self._channel.basic_ack(tag)
        self._unacked.pop(tag, None)

    def close(self) -> None:
        """Give back what is not acked, in its order.

        That counts as a redelivery, of which the queue must allow any number.
        """
        for tag in self._tags:
            self._channel.basic_cancel(tag)
        give_back(self._channel, self._unacked, self.ready)
        self._channel.close()

    def _try(self) -> int | None:
        self._channel = self._connection.channel()
        state = self._state()
        if state.consumer_count:
            return None
        if not state.message_count:
            return 0 if self._is_empty() else None
        self.consume(state.message_count)
        is_alone = self._state().consumer_count == len(self._tags)
        return int(state.message_count) if is_alone else None

    def _is_empty(self) -> bool:
        """Return whether nothing lies there: none is told, too, of a queue whose leader is away."""
        return self._channel.basic_get(self._queue)[0] is None

    def _give_way(self) -> None:
        self._channel.close()
        self._tags.clear()
        self._unacked.clear()
        self._credit = 0

    def _state(self) -> Any:
        return self._channel.queue_declare(self._queue, passive=True).method

    def _taken(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self._unacked[method.delivery_tag] = method.consumer_tag
        self._take(method, properties, body)
