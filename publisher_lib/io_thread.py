"""The thread that talks to the broker: its start, its end, and what forks and exits mean to it."""

import atexit
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from publisher_lib.broker_url import BrokerURL
from publisher_lib.courier import GOODBYE_SECONDS, Courier
from publisher_lib.loop import Loop
from publisher_lib.outgoing import Outgoing
from publisher_lib.pika_log import THREAD_NAME, keep_from_the_app

log = logging.getLogger(__name__)

EXIT_SECONDS: Final = 10.0
"""How long the interpreter's exit may wait for confirms that nobody else waited for."""


class IOThread:
    """A started thread with its courier. Every method may be called from any thread."""

    def __init__(self, brokers: tuple[BrokerURL, ...]) -> None:
        self._loop = Loop()
        self._courier = Courier(brokers, self._loop)
        self._inbox: deque[Outgoing] = deque()
        self._is_flush_due = False
        self._is_closing = False
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
        _running.add(self)
        self._thread.start()

    @property
    def is_current(self) -> bool:
        """Whether the caller runs on this thread."""
        return threading.current_thread() is self._thread

    @property
    def is_connected(self) -> bool:
        """Whether messages can be written."""
        return self._courier.is_connected

    def carry(self, outgoing: Outgoing) -> bool:
        """Hand a message over; False after `close` or `retire`."""
        with self._lock:
            if self._is_closing:
                return False
            self._inbox.append(outgoing)
            # One wake-up for all that is handed over until the thread gets to it.
            if not self._is_flush_due:
                self._is_flush_due = True
                self._call(self._flush)
            return True

    def retire(self) -> None:
        """Let the thread end by itself, once nothing is on its way."""
        # Takes no lock: a finalizer may run anywhere, also where this lock is held.
        self._is_closing = True
        self._call(self._courier.retire)

    def close(self, timeout_seconds: float) -> int:
        """End the thread; return how many messages had no confirm in time."""
        with self._lock:
            self._is_closing = True
        self._call(self._courier.retire)
        self._thread.join(timeout_seconds)
        if self._thread.is_alive():
            self._call(self._courier.finish)
            self._thread.join(GOODBYE_SECONDS * 2)
        return self._courier.left

    def close_at_exit(self) -> None:
        """Close, if this process is the one that started it."""
        if self._pid == os.getpid():
            self.close(EXIT_SECONDS)

    def abandon(self) -> None:
        """Drop what a forked child has inherited of it."""
        self._loop.abandon()

    def _call(self, callback: Callable[[], None]) -> None:
        self._loop.add_callback_threadsafe(callback)

    def _flush(self) -> None:
        with self._lock:
            self._is_flush_due = False
            handed_over = list(self._inbox)
            self._inbox.clear()
        self._courier.carry(handed_over)

    def _run(self) -> None:
        while not self._serve():
            self._courier.recover()
        _running.discard(self)
        self._loop.close()

    def _serve(self) -> bool:
        try:
            self._loop.start()
        except BaseException:
            # SystemExit too, which a callback may raise: without this thread nobody is answered.
            log.exception("the I/O loop failed")
            return False
        return True


_running: set[IOThread] = set()


def _close_at_exit() -> None:
    for thread in list(_running):
        thread.close_at_exit()


def _abandon_in_child() -> None:
    for thread in _running:
        thread.abandon()
    _running.clear()


keep_from_the_app()
atexit.register(_close_at_exit)
os.register_at_fork(after_in_child=_abandon_in_child)
