"""From the broker to the inbox: each delivery is read, and claims its recipients on the ledger."""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import Final, Protocol

from consumer.core.correlation import correlation
from consumer.core.delivery import Delivery
from consumer.core.endings import unsettled
from consumer.core.ledger import Claim, Wanted, fingerprint
from consumer.core.mail import Mail
from consumer.core.outcome import Conflict
from consumer.ledger.ledger import CROWD, LINGER_SECONDS, Ledger
from consumer.ledger.none import NoLedger
from consumer.ledger.opening import Hands
from consumer.worker import Worker
from publisher_lib.routing import Lane

log = logging.getLogger(__name__)

READING_SLOT: Final = 0
"""In hands; the sessions' come after it."""

LOOK_AGAIN_SECONDS: Final = 1.0
"""Also how long, at least, what processes died of waits for what is delivered with it."""

LARGEST_GROUP: Final = 200


class Inbox(Protocol):
    """Where mails wait for a session."""

    def put(self, *mails: Mail) -> None:
        """Add mails."""

    def clear(self) -> list[Mail]:
        """Take out everything."""


class Intake:
    """Reads deliveries and claims their recipients, in the order in which they came.

    A mail that another process works on waits here, unacked, and is looked at again. So does one
    that processes died of, for a moment: it is to reach the inbox after its neighbours.
    """

    def __init__(
        self,
        worker: Worker,
        ledger: Ledger | NoLedger,
        hands: Hands,
        inbox: Inbox,
        is_current: Callable[[Delivery], bool],
    ) -> None:
        self._worker = worker
        self._ledger = ledger
        self._hands = hands
        self._inbox = inbox
        self._is_current = is_current
        self._came: SimpleQueue[Delivery] = SimpleQueue()
        self._waiting: list[Mail] = []
        self._look_again_seconds = 0.0
        self._closing = threading.Event()
        self._is_crowded = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def put(self, delivery: Delivery) -> None:
        """Take a delivery in. Does not block."""
        self._came.put(delivery)

    def clear(self) -> None:
        """Forget the mails that wait: their connection is lost, and the broker gives them anew."""
        with self._lock:
            self._waiting.clear()
        for mail in self._inbox.clear():
            self.release(mail)

    def release(self, mail: Mail) -> None:
        """Let go of a mail that was claimed and surely not sent."""
        if mail.claim is not None and mail.claim.held:
            self._ledger.end(mail.claim, unsettled(mail.claim))

    def take_older_than(
        self, received_seconds: float, lanes: Collection[Lane] = tuple(Lane)
    ) -> list[Mail]:
        """Take out what waits for another process since before this moment (monotonic)."""

        def is_old(mail: Mail) -> bool:
            delivery = mail.delivery
            return delivery.received_seconds < received_seconds and delivery.lane in lanes

        with self._lock:
            waiting = self._waiting
            old = list(filter(is_old, waiting))
            self._waiting = [mail for mail in waiting if not is_old(mail)]
        return old

    def close(self) -> None:
        """Read no more: the broker gives it to somebody else."""
        self._closing.set()

    def join(self, timeout_seconds: float) -> None:
        """Wait for the thread to end, once the ledger has closed."""
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        # Cancelled: the ledger has closed, and so does the process.
        with suppress(CancelledError):
            while not self._closing.is_set():
                self._read(self._next_group())
                self._look_again()

    def _next_group(self) -> list[Delivery]:
        group: list[Delivery] = []
        with suppress(Empty):
            group.append(self._came.get(timeout=LOOK_AGAIN_SECONDS))
            if self._is_crowded:
                self._closing.wait(LINGER_SECONDS)
            while len(group) < LARGEST_GROUP:
                group.append(self._came.get_nowait())
        self._is_crowded = len(group) > CROWD
        return group

    def _read(self, group: list[Delivery]) -> None:
        prints = [fingerprint(each.properties.message_id, each.body) for each in group]
        # What was never given to anybody before has killed nobody.
        again = [found for each, found in zip(group, prints, strict=True) if each.redelivered]
        deaths = self._ledger.deaths(again) if again else {}
        self._ask(list(self._opened(group, prints, deaths)))

    def _opened(
        self, group: list[Delivery], prints: list[bytes], deaths: Mapping[bytes, int]
    ) -> Iterator[Mail]:
        is_traced = log.isEnabledFor(logging.DEBUG)
        for delivery, found in zip(group, prints, strict=True):
            if self._is_current(delivery):
                if is_traced:
                    _trace(delivery)
                self._hands.take(READING_SLOT, found)
                mail = self._worker.open(delivery, found, deaths.get(found, 0))
                self._hands.put_down(READING_SLOT)
                yield mail

    def _ask(self, mails: list[Mail]) -> None:
        """Claim what may be sent; the rest goes on without, or waits for a moment."""
        claiming: list[Mail] = []
        wanted: list[Wanted] = []
        for mail in mails:
            if mail.deaths and _came_just_now(mail):
                self._wait(mail)
            elif (asked := mail.wanted) is None:
                self._inbox.put(mail)
            else:
                claiming.append(mail)
                wanted.append(asked)
        if wanted:
            self._ledger.claim(wanted, partial(self._claimed, claiming))

    def _claimed(self, mails: list[Mail], claims: Sequence[Claim]) -> None:
        ready: list[Mail] = []
        for mail, claim in zip(mails, claims, strict=True):
            if claim.must_wait:
                self._wait(mail)
            elif claim.is_conflict:
                ready.append(replace(mail, foregone=Conflict()))
            elif self._is_current(mail.delivery):
                ready.append(replace(mail, claim=claim))
            else:
                self.release(replace(mail, claim=claim))
        self._inbox.put(*ready)

    def _wait(self, mail: Mail) -> None:
        with self._lock:
            self._waiting.append(mail)

    def _look_again(self) -> None:
        now = time.monotonic()
        if now < self._look_again_seconds:
            return
        self._look_again_seconds = now + LOOK_AGAIN_SECONDS
        with self._lock:
            waiting, self._waiting = self._waiting, []
        self._ask([mail for mail in waiting if self._is_current(mail.delivery)])


def _trace(delivery: Delivery) -> None:
    told = {
        "lane": str(delivery.lane),
        "bytes": len(delivery.body),
        "redelivered": delivery.redelivered,
    }
    log.debug("received", extra=correlation(delivery.properties) | told)


def _came_just_now(mail: Mail) -> bool:
    return time.monotonic() - mail.delivery.received_seconds < LOOK_AGAIN_SECONDS
