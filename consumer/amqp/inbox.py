"""Mails this process holds until a session is free: two lanes, each first in, first out."""

import threading
from bisect import insort
from collections import deque
from collections.abc import Callable, Collection
from typing import Final

from consumer.core.mail import Mail
from publisher_lib.routing import Lane

MAX_HELD_BYTES: Final = 64 * 1024 * 1024
"""The broker bounds deliveries by number only; beyond this many bytes a lane is held."""

MOST_IN_A_ROW: Final = 31
"""Transactional mails before a bulk one that waits: bulk is slow then, and goes on."""

OnFull = Callable[[Lane, bool], None]


class Inbox:
    """Hands mails to sessions so that bulk never delays transactional mail.

    The first session serves the transactional lane alone; the others, or a single one, serve that
    lane first, and bulk at least each 32nd time. What processes died of comes last in
    its lane, the deadliest first: should this one die of it too, its neighbours are sent by then.
    `on_full` is called with a lane and True when too many of its bytes are held, and with False
    when there is room again.
    """

    def __init__(self, sessions: int, on_full: OnFull = lambda _lane, _full: None) -> None:
        self._reserved = sessions > 1
        self._on_full = on_full
        self._lanes: dict[Lane, deque[Mail]] = {lane: deque() for lane in Lane}
        self._in_a_row = 0
        """Transactional mails taken since the last bulk one, by sessions that serve both."""
        self._bytes = dict.fromkeys(Lane, 0)
        self._full: set[Lane] = set()
        self._closed = False
        self._idle = {True: 0, False: 0}
        """Sessions that wait: those for the transactional lane alone, and the others."""
        self._lock = threading.Lock()
        self._transactional_came = threading.Condition(self._lock)
        self._any_came = threading.Condition(self._lock)

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def put(self, *mails: Mail) -> None:
        """Add mails at the end of their lane, or of those that as many processes died of."""
        with self._lock:
            for mail in mails:
                lane = self._lanes[mail.delivery.lane]
                if lane and (lane[-1].deaths or mail.deaths):
                    insort(lane, mail, key=_danger)
                else:
                    lane.append(mail)
            self._added(*mails)

    def put_back(self, mail: Mail) -> None:
        """Return a mail to its place, before those that came after it."""
        with self._lock:
            insort(self._lanes[mail.delivery.lane], mail, key=_place)
            self._added(mail)

    def wait(self, session: int, timeout_seconds: float) -> bool:
        """Wait until there is a mail for a session (from 0), or none will come; False: in vain."""
        kept = self._reserved and session == 0
        came = self._transactional_came if kept else self._any_came
        with self._lock:
            self._idle[kept] += 1
            found = came.wait_for(lambda: self._closed or self._offers(kept), timeout_seconds)
            self._idle[kept] -= 1
            return found

    def take(self, session: int) -> Mail | None:
        """Return the next mail for a session, if there is one."""
        with self._lock:
            return self._pop(self._reserved and session == 0)

    def take_ahead(self, session: int, since_seconds: float) -> Mail | None:
        """Return a mail for a session that is not free yet, if it waits and no session is free.

        One that was received before `since_seconds` (monotonic) is left: it has waited enough.
        """
        kept = self._reserved and session == 0
        with self._lock:
            if self._idle[False] or not self._offers(kept):
                return None
            lane = Lane.TRANSACTIONAL if kept else self._lane_next()
            if lane is Lane.TRANSACTIONAL and self._idle[True]:
                return None
            first = self._lanes[lane][0]
            return self._pop(kept) if first.delivery.received_seconds >= since_seconds else None

    def take_older_than(
        self, received_seconds: float, lanes: Collection[Lane] = tuple(Lane)
    ) -> list[Mail]:
        """Take out what was received before this moment of the monotonic clock."""
        with self._lock:
            old = [
                mail
                for lane in lanes
                for mail in self._lanes[lane]
                if mail.delivery.received_seconds < received_seconds
            ]
            for mail in old:
                self._lanes[mail.delivery.lane].remove(mail)
                self._weigh(mail.delivery.lane, -len(mail.delivery.body))
            return old

    def clear(self) -> list[Mail]:
        """Take out everything held."""
        with self._lock:
            mails = [mail for lane in self._lanes.values() for mail in lane]
            for lane, held in self._lanes.items():
                held.clear()
                self._weigh(lane, -self._bytes[lane])
            return mails

    def close(self) -> None:
        """Let every `take`, waiting or to come, return None: no session starts another mail."""
        with self._lock:
            self._closed = True
            self._transactional_came.notify_all()
            self._any_came.notify_all()

    def _offers(self, transactional_only: bool) -> bool:  # noqa: FBT001 - private, one caller
        if transactional_only:
            return bool(self._lanes[Lane.TRANSACTIONAL])
        return any(self._lanes.values())

    def _pop(self, transactional_only: bool) -> Mail | None:  # noqa: FBT001 - as above
        if self._closed or not self._offers(transactional_only):
            return None
        lane = Lane.TRANSACTIONAL if transactional_only else self._lane_next()
        if not transactional_only:
            self._in_a_row = 0 if lane is Lane.BULK else self._in_a_row + 1
        mail = self._lanes[lane].popleft()
        self._weigh(lane, -len(mail.delivery.body))
        return mail

    def _lane_next(self) -> Lane:
        first = Lane.BULK if self._in_a_row >= MOST_IN_A_ROW else Lane.TRANSACTIONAL
        return first if self._lanes[first] else _other(first)

    def _added(self, *mails: Mail) -> None:
        for mail in mails:
            self._weigh(mail.delivery.lane, len(mail.delivery.body))
        self._any_came.notify(len(mails))
        if self._reserved and any(mail.delivery.lane is Lane.TRANSACTIONAL for mail in mails):
            self._transactional_came.notify()

    def _weigh(self, lane: Lane, change: int) -> None:
        self._bytes[lane] += change
        bound = MAX_HELD_BYTES // 2 if lane in self._full else MAX_HELD_BYTES
        full = self._bytes[lane] > bound
        if full != (lane in self._full):
            self._full ^= {lane}
            self._on_full(lane, full)


def _danger(mail: Mail) -> tuple[bool, int]:
    return mail.deaths > 0, -mail.deaths


def _place(mail: Mail) -> tuple[bool, int, int, int]:
    return *_danger(mail), mail.delivery.generation, mail.delivery.tag


def _other(lane: Lane) -> Lane:
    return Lane.BULK if lane is Lane.TRANSACTIONAL else Lane.TRANSACTIONAL
