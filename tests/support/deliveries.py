"""Deliveries in the tests' hands: where a consumer puts them, and as the mails they are."""

from collections import deque
from dataclasses import replace
from datetime import UTC, datetime
from threading import Condition

from consumer.core.delivery import Delivery
from consumer.core.ledger import Claim, fingerprint
from consumer.core.mail import Mail
from consumer.core.trail import read_trail
from consumer.worker import Worker


class Deliveries:
    """Stands where the intake stands: keeps what a consumer takes in."""

    def __init__(self) -> None:
        self._held: deque[Delivery] = deque()
        self._came = Condition()

    def __len__(self) -> int:
        return len(self._held)

    def put(self, delivery: Delivery) -> None:
        """Add a delivery."""
        with self._came:
            self._held.append(delivery)
            self._came.notify()

    def clear(self) -> None:
        """Forget all."""
        with self._came:
            self._held.clear()

    def come_within(self, seconds: float) -> bool:
        """Whether there is one, or one comes in time."""
        with self._came:
            return self._came.wait_for(lambda: bool(self._held), seconds)

    def take(self, seconds: float) -> Delivery:
        """Return the next one; fail when none comes in time."""
        with self._came:
            assert self._came.wait_for(lambda: bool(self._held), seconds), "nothing was delivered"
            return self._held.popleft()


def opened(worker: Worker, delivery: Delivery, deaths: int = 0) -> Mail:
    """Return a delivery as a mail whose recipients are all granted to it."""
    mail = worker.open(delivery, fingerprint(delivery.properties.message_id, delivery.body), deaths)
    if mail.wanted is None:
        return mail
    return replace(mail, claim=Claim(mail.wanted, granted=mail.wanted.recipients))


def unread(delivery: Delivery) -> Mail:
    """Return a delivery as a mail of which nothing was read."""
    trail = read_trail(delivery.properties, frozenset(), datetime.now(UTC))
    return Mail(delivery, trail, b"")
