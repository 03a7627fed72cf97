"""Publishes with confirms: the broker has the message safe, or it failed for a reason."""

import math
import os
import threading
import time
import weakref
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final, TypeVar

import pika

from publisher_lib.broker_url import read_urls
from publisher_lib.courier import CLOSED
from publisher_lib.io_thread import IOThread
from publisher_lib.outgoing import Outgoing
from publisher_lib.window import Window

WINDOW_MESSAGES: Final = 1000
WINDOW_BYTES: Final = 32 * 1024 * 1024

CROWDED: Final = "too many messages wait for the broker already"

T = TypeVar("T")


class ConfirmedPublisher:
    """Publishes from one I/O thread over one connection, both started at first use.

    Thread-safe, and fork-safe: a child uses a connection of its own and leaves its parent's
    alone. What was unconfirmed when a connection was lost is published again, the same message.
    `window` and `window_bytes` bound what is on its way. Collected as garbage, it ends its thread
    once nothing is on its way.

    Raises ValueError when a URL is no broker's.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        *,
        name: str = "hopmail publisher",
        window: int = WINDOW_MESSAGES,
        window_bytes: int = WINDOW_BYTES,
    ) -> None:
        self.brokers = read_urls(urls, name)
        self._limits = window, window_bytes
        self._is_closed = False
        # Of the locks, futures and sockets that a fork copies none may be used by the child.
        self._processes: dict[int, _Process] = {}
        weakref.finalize(self, _retire, self._processes).atexit = False

    @property
    def is_connected(self) -> bool:
        """Whether a message could be written at once."""
        thread = self._process().thread
        return thread is not None and thread.is_connected

    @property
    def is_closed(self) -> bool:
        """Whether nothing is published any more."""
        return self._is_closed

    @property
    def is_io_thread(self) -> bool:
        """Whether the caller runs where done callbacks run: it must not wait for a confirm."""
        return self._process().is_io_thread

    def submit(
        self,
        exchange: str,
        routing_key: str,
        properties: pika.BasicProperties,
        body: bytes,
        timeout_seconds: float | None,
    ) -> Future[None]:
        """Publish a message, mandatory; the future is done when the broker has answered.

        Blocks while the window is full, except in a done callback. It fails with `Unroutable`,
        `Rejected`, `NotPublished` or `OutcomeUnknown`. A full queue is tried again until the
        timeout; without one (None) it fails at once, and an absent broker is awaited for ever.
        Cancelling succeeds as long as nothing was written.
        """
        return self.deliver(exchange, routing_key, properties, body, timeout_seconds, receipt=None)

    def deliver(
        self,
        exchange: str,
        routing_key: str,
        properties: pika.BasicProperties,
        body: bytes,
        timeout_seconds: float | None,
        *,
        receipt: T,
    ) -> Future[T]:
        """As `submit`; the future's result is `receipt`."""
        deadline = math.inf if timeout_seconds is None else time.monotonic() + timeout_seconds
        outgoing = Outgoing(exchange, routing_key, properties, body, deadline, receipt)
        process = self._process()
        size = len(body)
        if process.is_io_thread:
            process.window.squeeze_in(size)
        elif not process.window.enter(size, deadline):
            outgoing.expire(CLOSED if self._is_closed else CROWDED)
            return outgoing.future
        outgoing.future.add_done_callback(lambda _done: process.window.leave(size))
        thread = self._started(process)
        if thread is None or not thread.carry(outgoing):
            outgoing.expire(CLOSED)
        return outgoing.future

    def close(self, timeout_seconds: float) -> int:
        """Wait for open confirms, then fail the rest; return how many had none.

        Whatever is published afterwards fails with `NotPublished`. Closing twice is fine.
        Raises RuntimeError in a done callback.
        """
        process = self._process()
        if process.is_io_thread:
            raise RuntimeError(
                "close() waits for the thread that runs this callback: call it elsewhere"
            )
        with process.lock:
            self._is_closed = True
        process.window.close()
        return 0 if process.thread is None else process.thread.close(timeout_seconds)

    def _process(self) -> "_Process":
        pid = os.getpid()
        return self._processes.get(pid) or self._begin(pid)

    def _begin(self, pid: int) -> "_Process":
        # Atomic, hence without a lock: two threads may come here at once after a fork.
        process = self._processes.setdefault(pid, _Process(Window(*self._limits)))
        for parent in set(self._processes) - {pid}:
            self._processes.pop(parent, None)
        return process

    def _started(self, process: "_Process") -> IOThread | None:
        with process.lock:
            if process.thread is None and not self._is_closed:
                process.thread = IOThread(self.brokers)
            return process.thread


@dataclass(slots=True, eq=False)
class _Process:
    """What belongs to one process alone."""

    window: Window
    thread: IOThread | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_io_thread(self) -> bool:
        return self.thread is not None and self.thread.is_current


def _retire(processes: dict[int, _Process]) -> None:
    process = processes.get(os.getpid())
    if process is not None and process.thread is not None:
        process.thread.retire()
