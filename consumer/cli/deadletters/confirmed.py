"""Dead letters whose copies are on their way: each is acked once the broker has its copy."""

import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Final

from consumer.amqp.dead_letters import DeadLetters
from consumer.core.delivery import Delivery

LAST_SECONDS: Final = 40.0
"""More than a publish may take: it has an answer, if only that there was none."""

TURN_SECONDS: Final = 0.05

PATIENCE_SECONDS: Final = 0.2
"""Between looks at whether to stop."""

HEARING_SECONDS: Final = 1.0
"""Between looks at what the broker has to say to who publishes only."""


class Confirmed:
    """Acks what was confirmed, at no more than `rate` a second; `trouble` is what ended it early.

    `step` is told of each, `is_stopped` asked before each. A copy that was not confirmed leaves its
    dead letter where it is.
    """

    def __init__(
        self,
        queue: DeadLetters,
        step: Callable[[], None],
        is_stopped: Callable[[], bool],
        rate: float | None = None,
    ) -> None:
        self._queue = queue
        self._step = step
        self._is_stopped = is_stopped
        self._interval_seconds = 1 / rate if rate else 0.0
        self._next_seconds = 0.0
        self._heard_seconds = time.monotonic()
        self._answers: SimpleQueue[tuple[Delivery | None, Future[None]]] = SimpleQueue()
        self._open = 0
        self.count = 0
        self.trouble = ""

    def may_go_on(self) -> bool:
        """Wait until the next may go; return False where none may any more."""
        while (left := self._next_seconds - time.monotonic()) > 0 and not self._is_stopped():
            self._queue.wait(min(left, PATIENCE_SECONDS))
            self._settle()
        if self._is_stopped():
            self.trouble = self.trouble or "stopped"
        if time.monotonic() > self._heard_seconds + HEARING_SECONDS:
            self._heard_seconds = time.monotonic()
            self._queue.wait(0)
        self._settle()
        self._next_seconds = max(self._next_seconds, time.monotonic() - TURN_SECONDS)
        self._next_seconds += self._interval_seconds
        return not self.trouble

    def put(self, delivery: Delivery | None, confirm: Future[None]) -> None:
        """Take on a copy that is on its way, and the dead letter whose place it takes, if any."""
        self._open += 1
        confirm.add_done_callback(partial(self._answered, delivery))

    def finish(self) -> None:
        """Await every answer."""
        until = time.monotonic() + LAST_SECONDS
        while self._open and time.monotonic() < until:
            self._settle()
            if self._open:
                self._queue.wait(TURN_SECONDS)
        if self._open and not self.trouble:
            self.trouble = "the broker did not confirm all copies"

    def _answered(self, delivery: Delivery | None, confirm: Future[None]) -> None:
        self._answers.put((delivery, confirm))

    def _settle(self) -> None:
        with suppress(Empty):
            while True:
                delivery, confirm = self._answers.get_nowait()
                self._open -= 1
                try:
                    confirm.result()
                except (Exception, CancelledError) as error:  # noqa: BLE001 - whatever it was: no ack
                    self.trouble = self.trouble or f"not published: {error}"
                    continue
                if delivery is not None:
                    self._queue.ack(delivery)
                self.count += 1
                self._step()
