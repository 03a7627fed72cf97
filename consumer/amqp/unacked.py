"""What came over the consuming channels, and what of it the broker still counts on us for."""

from collections.abc import Iterable, Mapping
from itertools import product

from consumer.core.delivery import Delivery
from publisher_lib.routing import Lane


class Unacked:
    """The deliveries of the channel that is open; the counts are of all there were.

    Written on the I/O thread alone, and once for each mail: without a lock. Read by any thread.
    """

    def __init__(self) -> None:
        self.connections = 0
        self._received = dict.fromkeys(product(Lane, (False, True)), 0)
        self._deliveries: dict[int, Delivery] = {}

    @property
    def received(self) -> Mapping[tuple[Lane, bool], int]:
        """How many deliveries came, by lane and whether they were redelivered."""
        return self._received.copy()

    def deliveries(self) -> list[Delivery]:
        """Return what is unacked now."""
        # One step for other threads: a loop of ours would meet changes.
        return list(self._deliveries.copy().values())

    def connected(self) -> None:
        """Count a connection."""
        self.connections += 1

    def came(self, delivery: Delivery) -> None:
        """Note a delivery."""
        self._received[delivery.lane, delivery.redelivered] += 1
        self._deliveries[delivery.tag] = delivery

    def acked(self, tags: Iterable[int]) -> None:
        """Forget what was acked."""
        for tag in tags:
            self._deliveries.pop(tag, None)

    def lost(self) -> None:
        """Forget all: the channel is closed, and the broker has it again."""
        self._deliveries.clear()
