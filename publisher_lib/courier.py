"""What is on its way to the broker, and what becomes of it whatever the broker does."""

import logging
import math
import random
import time
from collections import deque
from collections.abc import Iterable
from functools import partial
from itertools import cycle
from typing import Final

from publisher_lib.broker_url import BrokerURL
from publisher_lib.link import Link
from publisher_lib.loop import Loop
from publisher_lib.outgoing import Outgoing

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 5.0
LONGEST_NACK_PAUSE_SECONDS: Final = 1.0
GOODBYE_SECONDS: Final = 1.0
"""How long the broker may take to answer our close: one that blocks us does not answer."""

CLOSED: Final = "the publisher was closed"
FULL: Final = "the queue is full"


class Courier:
    """Keeps a link while there is something to carry. For the I/O thread only.

    When the broker closes the channel for one message of several in flight, which one cannot be
    told: they become suspects and are written again one at a time, until each was answered.
    """

    def __init__(self, brokers: tuple[BrokerURL, ...], loop: Loop) -> None:
        self._brokers = cycle(brokers)
        self._loop = loop
        self._link: Link | None = None
        self._open: set[Outgoing] = set()
        self._waiting: deque[Outgoing] = deque()
        self._suspects: deque[Outgoing] = deque()
        self._is_trying_suspect = False
        self._alarm = math.inf
        self._pause = FIRST_PAUSE_SECONDS
        self._is_pausing = False
        self._troubles: dict[str, str] = {}
        self._is_retiring = False
        self.left = 0

    @property
    def is_connected(self) -> bool:
        """Whether messages can be written. Thread-safe."""
        link = self._link
        return link is not None and link.is_ready

    def carry(self, messages: Iterable[Outgoing]) -> None:
        """Write these after what waits already."""
        for outgoing in messages:
            self._open.add(outgoing)
            self._waiting.append(outgoing)
            self._wake_by(outgoing.deadline)
        self.link_ready()

    def retire(self) -> None:
        """Close the link and stop the loop once nothing is on its way."""
        self._is_retiring = True
        if not self._open:
            self._say_goodbye()

    def finish(self) -> None:
        """Fail what is still on its way, then `retire`. `left` says how many that were."""
        self._is_retiring = True
        self.left = len(self._open)
        for outgoing in list(self._open):
            outgoing.expire(CLOSED)
        self._open.clear()
        self._forget_settled()
        self._say_goodbye()

    def recover(self) -> None:
        """Go on after an error in the loop: write again over another connection."""
        self._loop.cut()
        self._loop.call_later(LONGEST_PAUSE_SECONDS, self.link_ready)
        if self._is_retiring:
            self.retire()

    def link_ready(self) -> None:
        """Write what may be written now, over a new link where there is none."""
        if self._link is None:
            if self._open and not self._is_pausing:
                self._connect()
            return
        while queue := self._writable():
            outgoing = queue.popleft()
            if not outgoing.begin():
                self._settled(outgoing)
                continue
            self._is_trying_suspect = queue is self._suspects
            self._write(self._link, outgoing)

    def confirmed(self, outgoing: Outgoing) -> None:
        """Succeed: the broker has it."""
        outgoing.confirm()
        self._settled(outgoing)

    def returned(self, outgoing: Outgoing) -> None:
        """Fail: no queue is bound."""
        outgoing.unroutable()
        self._settled(outgoing)

    def nacked(self, outgoing: Outgoing) -> None:
        """Try again until the deadline; without one, fail at once: the caller has its own pause."""
        outgoing.nacks += 1
        if outgoing.waits_for_ever:
            outgoing.reject(FULL)
            self._settled(outgoing)
            return
        pause = min(FIRST_PAUSE_SECONDS * 2**outgoing.nacks, LONGEST_NACK_PAUSE_SECONDS)
        self._loop.call_later(_jittered(pause), partial(self._try_again, outgoing))

    def refused(self, words: str, unanswered: list[Outgoing]) -> None:
        """Fail the message the channel was closed for; try them one by one to find it."""
        if len(unanswered) == 1:
            (culprit,) = unanswered
            culprit.in_flight = False
            culprit.reject(words)
            self._settled(culprit)
            return
        for outgoing in unanswered:
            outgoing.doubted(words)
        self._suspects.extend(unanswered)

    def link_ended(self, words: str, unanswered: list[Outgoing]) -> None:
        """Write the unanswered again over another link, soon."""
        self._link = None
        if self._is_retiring and not self._open:
            self._loop.stop()
            return
        address = words.partition(": ")[0]
        self._troubles[address] = words
        log.warning("publisher connection lost", extra={"detail": words})
        for outgoing in unanswered:
            outgoing.doubted("the connection was lost before its confirm came")
        queue = self._suspects if self._is_trying_suspect else self._waiting
        queue.extendleft(reversed(unanswered))
        self._is_pausing = True
        self._loop.call_later(_jittered(self._pause), self._reconnect)
        self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)

    def link_opened(self) -> None:
        """Forget the troubles there were, and write."""
        self._pause = FIRST_PAUSE_SECONDS
        self._troubles.clear()
        self.link_ready()

    def _connect(self) -> None:
        broker = next(self._brokers)
        try:
            self._link = Link(broker, self._loop, self)
        except OSError as error:
            self.link_ended(f"{broker.address}: {error}", [])

    def _reconnect(self) -> None:
        self._is_pausing = False
        self.link_ready()

    def _writable(self) -> deque[Outgoing] | None:
        """Return the queue whose head may be written now, if any."""
        link = self._link
        if link is None or not link.is_ready or link.blocked:
            return None
        if self._suspects:
            return self._suspects if link.is_idle else None
        return self._waiting if link.is_idle or not self._is_trying_suspect else None

    def _write(self, link: Link, outgoing: Outgoing) -> None:
        try:
            link.publish(outgoing)
        except Exception as error:  # noqa: BLE001 - pika raises what its encoders raise; nothing was written
            outgoing.reject(f"its properties cannot be encoded ({type(error).__name__})")
            self._settled(outgoing)

    def _try_again(self, outgoing: Outgoing) -> None:
        self._waiting.append(outgoing)
        self.link_ready()

    def _settled(self, outgoing: Outgoing) -> None:
        # Answers may come after the deadline, when it was settled already.
        if outgoing in self._open:
            self._open.remove(outgoing)
            if self._is_retiring and not self._open:
                self._say_goodbye()

    def _wake_by(self, deadline: float) -> None:
        if deadline < self._alarm:
            self._alarm = deadline
            self._loop.call_later(max(0.0, deadline - time.monotonic()), self._expire)

    def _expire(self) -> None:
        now = time.monotonic()
        why = self._why_not()
        for outgoing in [late for late in self._open if late.deadline <= now]:
            outgoing.expire(why)
            self._settled(outgoing)
        self._forget_settled()
        self._alarm = math.inf
        self._wake_by(min((outgoing.deadline for outgoing in self._open), default=math.inf))

    def _forget_settled(self) -> None:
        for queue in (self._waiting, self._suspects):
            kept = [outgoing for outgoing in queue if not outgoing.settled]
            queue.clear()
            queue.extend(kept)

    def _why_not(self) -> str:
        if self._link is not None and self._link.blocked:
            return f"the broker blocks publishers ({self._link.blocked})"
        if self.is_connected:
            return "the broker answers too slowly"
        return "; ".join(self._troubles.values()) or "no broker has answered yet"

    def _say_goodbye(self) -> None:
        if self._link is None:
            self._loop.stop()
        else:
            self._link.close()
            self._loop.call_later(GOODBYE_SECONDS, self._loop.cut)


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret
