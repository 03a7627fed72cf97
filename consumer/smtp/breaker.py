"""The breaker: open while the relay is in trouble, so that no message is tried against it."""

import logging
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from consumer.core.outcome import Stage, Unreachable
from consumer.core.trouble import Trouble

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.2
"""How soon a waiting thread sees that it is to stop."""

JITTER: Final = 0.25
"""Part of a pause by which it varies, so that many processes do not probe in step."""


class Breaker:
    """Opened by the relay's trouble, closed by a probe of its own that succeeds. Thread-safe.

    `probe` returns the trouble it found, or None. It is called in a thread that lives while the
    breaker is open, after pauses that double from `first_pause_seconds` to
    `longest_pause_seconds`. Trouble soon after closing resumes the pauses where they were: a
    relay that lets everybody in and then refuses all mail is not asked every second.
    `relay` is its name in the log.
    """

    def __init__(
        self,
        probe: Callable[[], Unreachable | None],
        relay: str,
        *,
        first_pause_seconds: float = 1.0,
        longest_pause_seconds: float = 60.0,
    ) -> None:
        self._probe = probe
        self._relay = relay
        self._first = first_pause_seconds
        self._longest = longest_pause_seconds
        self._pause = first_pause_seconds
        # Callbacks run under it, so that they see and act in the order of the changes.
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._closed.set()
        self._trouble: Trouble | None = None
        self._changed_seconds = -longest_pause_seconds
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._callbacks: list[Callable[[], None]] = []

    @property
    def is_open(self) -> bool:
        """Whether the relay is taken to be in trouble."""
        return not self._closed.is_set()

    @property
    def trouble(self) -> Trouble | None:
        """What is amiss with the relay; None while it is well."""
        return self._trouble

    def on_change(self, callback: Callable[[], None]) -> None:
        """Have `callback` called after each opening and closing; it must not block."""
        self._callbacks.append(callback)

    def open(self, trouble: Unreachable) -> None:
        """Open because of `trouble`; nothing where it is open already, or stopped."""
        with self._lock:
            if self.is_open or self._stopping.is_set():
                return
            if time.monotonic() - self._changed_seconds > self._longest:
                self._pause = self._first
            self._thread = threading.Thread(
                target=self._probe_until_closed, args=(trouble,), name="relay-probe", daemon=True
            )
            self._thread.start()
            self._trouble = Trouble(datetime.now(UTC), trouble.stage)
            self._closed.clear()
            self._warn("relay in trouble", trouble)
            self._changed()

    def wait_until_closed(self, stop: threading.Event) -> bool:
        """Wait while the breaker is open; return False as soon as `stop` is set."""
        while not stop.is_set():
            if self._closed.wait(LOOK_SECONDS):
                return not stop.is_set()
        return False

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Probe no more; wait for a probe under way at most `timeout_seconds`."""
        self._stopping.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(timeout_seconds)

    def _probe_until_closed(self, trouble: Unreachable) -> None:
        while not self._stopping.wait(self._next_pause()):
            found = self._ask()
            if found is None:
                self._close()
                return
            if _kind(found) != _kind(trouble):
                self._warn("relay in other trouble", found)
            self._noted(found)
            trouble = found

    def _noted(self, trouble: Unreachable) -> None:
        with self._lock:
            if self._trouble is not None:
                self._trouble = Trouble(self._trouble.since, trouble.stage)

    def _warn(self, event: str, trouble: Unreachable) -> None:
        fields = {"relay": self._relay, "stage": trouble.stage.name, "detail": trouble.detail}
        log.warning(event, extra=fields)

    def _next_pause(self) -> float:
        pause, self._pause = self._pause, min(2 * self._pause, self._longest)
        return pause * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret

    def _ask(self) -> Unreachable | None:
        try:
            return self._probe()
        except Exception as error:
            # A bug there must not leave the breaker open for ever, and nobody probing.
            log.exception("probe failed")
            return Unreachable(Stage.CONNECT, f"the probe raised {type(error).__name__}")

    def _close(self) -> None:
        with self._lock:
            if self._stopping.is_set():
                return
            seconds = time.monotonic() - self._changed_seconds
            self._closed.set()
            self._trouble = None
            fields = {"relay": self._relay, "after_seconds": round(seconds, 1)}
            log.info("relay is back", extra=fields)
            self._changed()

    def _changed(self) -> None:
        self._changed_seconds = time.monotonic()
        for callback in self._callbacks:
            callback()


def _kind(trouble: Unreachable) -> tuple[Stage, int | str]:
    return trouble.stage, trouble.reply.code if trouble.reply else trouble.detail
