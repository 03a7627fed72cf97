"""Tells of handled deliveries: of the usual ones a moment later, many in a row."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from queue import SimpleQueue
from typing import Final

from consumer.core.handled import Handled
from consumer.core.outcome import Accepted

LINGER_SECONDS: Final = 0.05
"""For more of them. One by one, in between other work, each costs three times as much."""

MOST_WAITING: Final = 256
LARGEST_BODY_BYTES: Final = 64 * 1024
"""What waits is kept in memory, its body too: 16 MiB at most, and as much that is being told of."""


class Teller:
    """`tell` is called with handled deliveries, one or many; within a block of `gathered` if many.

    Of all but a mail that a relay took at once it is called at once, after those that wait: a
    process that is killed within the next moment has told of them.
    """

    def __init__(
        self,
        tell: Callable[..., None],
        gathered: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self._tell = tell
        self._gathered = gathered
        self._waiting: SimpleQueue[Handled] = SimpleQueue()
        self._came = threading.Event()
        self._closing = threading.Event()
        self._telling = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="teller", daemon=True)

    def start(self) -> None:
        """Begin to tell of those that wait."""
        self._thread.start()

    def tell(self, handled: Handled) -> None:
        """Tell of a delivery, now or a moment later. Thread-safe."""
        if self._may_wait(handled):
            self._waiting.put(handled)
            if not self._came.is_set():
                self._came.set()
        else:
            with self._telling:
                self._tell_waiting()
                self._tell(handled)

    def close(self, timeout_seconds: float) -> None:
        """Tell of all that wait; what comes yet is told of at once."""
        self._closing.set()
        self._came.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)
        if not self._thread.is_alive():
            # Where the thread died of telling, this may end no better; it must not end us.
            with suppress(Exception), self._telling:
                self._tell_waiting()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._came.wait()
            self._closing.wait(LINGER_SECONDS)
            self._came.clear()
            with self._telling:
                self._tell_waiting()

    def _tell_waiting(self) -> None:
        count = self._waiting.qsize()
        if count:
            with self._gathered():
                self._tell(*(self._waiting.get() for _ in range(count)))

    def _may_wait(self, handled: Handled) -> bool:
        return (
            not self._closing.is_set()
            and self._waiting.qsize() < MOST_WAITING
            and len(handled.verdicts) == 1
            and isinstance(handled.verdicts[0].outcome, Accepted)
            and len(handled.delivery.body) <= LARGEST_BODY_BYTES
        )
