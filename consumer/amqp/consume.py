"""Keeps a consuming channel open to the broker, whatever happens to it."""

import logging
import random
import threading
import time
from collections.abc import Iterable, Mapping
from functools import partial
from itertools import cycle
from typing import Final, Protocol

from consumer.amqp import declare, tolerant
from consumer.amqp.connection import BrokerUnavailable
from consumer.amqp.link import Link, prefetch_of
from consumer.amqp.unacked import Unacked
from consumer.core.delivery import Delivery
from consumer.core.topology import Topology
from publisher_lib.broker_url import read_urls
from publisher_lib.routing import Lane

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 10.0
STEADY_SECONDS: Final = 10.0
"""A connection that ends sooner is no sign of a broker that is well again."""
REDECLARE_SECONDS: Final = 5.0


class Intake(Protocol):
    """Where deliveries go. Neither method may block."""

    def put(self, delivery: Delivery) -> None:
        """Take a delivery in."""

    def clear(self) -> None:
        """Forget what waits: its channel is lost, and the broker delivers it again."""


class Consumer:
    """Takes deliveries from the lanes' queues and acks what was settled.

    A lane is consumed while nobody holds it: `hold` and `release` take a word that says who.
    """

    def __init__(self, urls: tuple[str, ...], topology: Topology, prefetch: int) -> None:
        tolerant.install()
        self._urls = urls
        self._topology = topology
        self._prefetch = prefetch
        self.unacked = Unacked()
        self._holds: set[tuple[str, Lane]] = set()
        self._generation = 0
        self._link: Link | None = None
        self._closing = threading.Event()
        self.mismatch: declare.TopologyMismatch | None = None
        """Set once the broker's topology is of another shape: no reconnect can mend that."""
        self._lock = threading.Lock()
        self._declaring = threading.Lock()
        self._declared_seconds = -REDECLARE_SECONDS
        self._thread: threading.Thread | None = None

    def start(self, intake: Intake) -> None:
        """Connect and consume into `intake`, in a thread of its own, until `close`."""
        self._thread = threading.Thread(target=self._run, args=(intake,), name="amqp", daemon=True)
        self._thread.start()

    def give_back(self) -> None:
        """Drop the connection, so that the broker requeues all that is unacked; come back."""
        with self._lock:
            if self._link is not None:
                self._link.close()

    @property
    def is_connected(self) -> bool:
        """Whether deliveries can come in."""
        link = self._link
        return link is not None and link.is_open

    @property
    def prefetch(self) -> Mapping[Lane, int]:
        """How many deliveries of each lane may be unacked at most."""
        return {lane: prefetch_of(lane, self._prefetch) for lane in Lane}

    def lanes_held(self, who: str) -> frozenset[Lane]:
        """Return the lanes that somebody holds."""
        with self._lock:
            return frozenset(lane for holder, lane in self._holds if holder == who)

    @property
    def holders(self) -> frozenset[str]:
        """Who holds a lane, or all."""
        with self._lock:
            return frozenset(who for who, _lane in self._holds)

    def is_current(self, delivery: Delivery) -> bool:
        """Whether the broker still counts on us for this delivery, as far as we know."""
        link = self._link
        return link is not None and link.is_open and link.generation == delivery.generation

    def ack(self, delivery: Delivery) -> None:
        """Ack a delivery; after a reconnect its tag means another message and is dropped."""
        link = self._link
        if link is not None and link.generation == delivery.generation:
            link.ack(delivery.tag)

    def requeue(self, deliveries: Iterable[Delivery]) -> None:
        """Give deliveries that are in nobody's hands back to their queues, for other consumers."""
        link = self._link
        if link is not None:
            tags = [each.tag for each in deliveries if each.generation == link.generation]
            link.requeue(tags)

    def hold(self, who: str, lanes: Iterable[Lane] = Lane) -> None:
        """Take no more deliveries of these lanes until everybody who held them has released."""
        with self._lock:
            self._holds |= {(who, lane) for lane in lanes}
            self._apply_holds()

    def release(self, who: str, lanes: Iterable[Lane] = Lane) -> None:
        """Withdraw `hold`."""
        with self._lock:
            self._holds -= {(who, lane) for lane in lanes}
            self._apply_holds()

    def redeclare(self) -> None:
        """Make what is missing on the broker, at most once in a while. Thread-safe."""
        with self._declaring:
            if time.monotonic() - self._declared_seconds >= REDECLARE_SECONDS:
                self._declare(self._urls)

    def close(self, timeout_seconds: float) -> bool:
        """Send the last acks, close, and let the broker requeue the rest; False: not in time."""
        self._closing.set()
        with self._lock:
            if self._link is not None:
                self._link.close()
        if self._thread is None:
            return True
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _apply_holds(self) -> None:
        if self._link is not None:
            self._link.consume(frozenset(Lane) - {lane for _who, lane in self._holds})

    def _run(self, intake: Intake) -> None:
        pause = FIRST_PAUSE_SECONDS
        for url in cycle(self._urls):
            if self._serve(url, intake):
                pause = FIRST_PAUSE_SECONDS
            if self.mismatch is not None:
                return
            if self._closing.wait(pause * random.uniform(0.5, 1.0)):  # noqa: S311 - jitter, no secret
                return
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _serve(self, url: str, intake: Intake) -> bool:
        """Consume over one connection until it ends; say whether it stood for a while."""
        # On the same broker: one of a list that hangs must hold us up once only.
        if not self._declare((url,)):
            return False
        (broker,) = read_urls((url,), "hopmail consumer")
        try:
            parameters = broker.parameters()
        except OSError as trouble:
            log.error("broker not ready", extra={"detail": f"{broker.address}: {trouble}"})  # noqa: TRY400 - a trace adds nothing
            return False
        with self._lock:
            if self._closing.is_set():
                return False
            self._generation += 1
            link = Link(
                parameters,
                self._generation,
                self._prefetch,
                intake.put,
                redeclare=partial(self._declare, self._urls),
                unacked=self.unacked,
            )
            self._link = link
            self._apply_holds()
        began = time.monotonic()
        end = link.run()
        with self._lock:
            self._link = None
        self.unacked.lost()
        intake.clear()
        if end and not self._closing.is_set():
            log.warning("broker connection lost", extra={"detail": end})
        return link.was_open and time.monotonic() - began > STEADY_SECONDS

    def _declare(self, urls: tuple[str, ...]) -> bool:
        self._declared_seconds = time.monotonic()
        try:
            declare.apply(urls, self._topology)
        except BrokerUnavailable as trouble:
            log.error("broker not ready", extra={"detail": str(trouble)})  # noqa: TRY400 - a trace adds nothing
            return False
        except declare.TopologyMismatch as mismatch:
            for difference in mismatch.differences:
                log.error("topology differs", extra={"detail": str(difference)})  # noqa: TRY400 - as above
            self.mismatch = mismatch
            return False
        return True
