"""The dead-letter queue in a person's hands: looked through, one at a time settled."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from consumer.amqp import tolerant
from consumer.amqp.connection import blocking_connection
from consumer.amqp.properties import read_properties
from consumer.core.delivery import Delivery
from consumer.core.followup import LANE
from consumer.core.topology import DEAD_QUEUE
from publisher_lib.routing import Lane


class DeadLetters:
    """The dead letters there were when it was opened; those not acked stay in the queue."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel

    def find(self, matches: Callable[[Delivery], bool]) -> list[Delivery]:
        """Return those that match, oldest first."""
        found = []
        while (taken := self._channel.basic_get(DEAD_QUEUE))[0] is not None:
            method, properties, body = taken
            delivery = Delivery(
                lane=_lane(properties.headers or {}),
                tag=method.delivery_tag,
                generation=0,
                redelivered=method.redelivered,
                properties=read_properties(properties),
                body=body,
                received_seconds=time.monotonic(),
            )
            if matches(delivery):
                found.append(delivery)
        return found

    def ack(self, delivery: Delivery) -> None:
        """Take one out of the queue."""
        self._channel.basic_ack(delivery.tag)


@contextmanager
def dead_letters(urls: tuple[str, ...]) -> Iterator[DeadLetters]:
    """Open the dead-letter queue for the length of a block. Raises BrokerUnavailable.

    What was looked at and not acked goes back to its place when the channel closes; that counts
    as a redelivery, of which this queue allows any number.
    """
    tolerant.install()
    with blocking_connection(urls, "hopmail deadletters") as connection:
        yield DeadLetters(connection.channel())


def _lane(headers: dict[str, Any]) -> Lane:
    try:
        return Lane(str(headers.get(LANE)))
    except ValueError:
        return Lane.TRANSACTIONAL
