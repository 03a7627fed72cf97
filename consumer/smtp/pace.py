"""A rate of mails that all processes of a host keep together, also across restarts."""

import fcntl
import logging
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from consumer.core.disk_errors import PASSING

log = logging.getLogger(__name__)

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
"""Names the run of the kernel with which its monotonic clock began; both are one per host."""

SLACK_SECONDS: Final = 0.1
"""How far the bucket fills beyond one token: what threads that come late for theirs may make up.
With more, mails would leave in bursts after each rest."""

LOOK_AGAIN_SECONDS: Final = 1.0
"""Until the next try, where the file cannot be used."""

STATE: Final = re.compile(rb"(\S+) (\d{1,12}\.\d{6})\n")
LONGEST_STATE_BYTES: Final = 100


class Pace:
    """A token bucket in a file: a token each 1/`rate_per_second`. Thread-safe.

    The file holds the boot and the moment, on the monotonic clock, at which the next token is
    due. A moment of another boot, or one too far ahead, is forgotten.
    """

    def __init__(self, path: Path, rate_per_second: float) -> None:
        """Raise OSError unless the file can be read and written, if not now, then by itself later.

        Its folder is made.
        """
        self._path = path
        self._interval = 1 / rate_per_second
        self._boot = BOOT_ID.read_bytes().strip()
        self._lock = threading.Lock()
        self._is_failing = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(self._open())
        except OSError as error:
            if error.errno not in PASSING:
                raise

    def take(self) -> float:
        """Take a token and return 0; where there is none, return the seconds until there is."""

        def taken(due: float, now: float) -> float:
            return due if due > now else max(due, now - SLACK_SECONDS) + self._interval

        with self._lock:
            try:
                due, now = self._change(taken)
            except OSError as error:
                return self._failed(error)
            self._is_failing = False
            return max(0.0, due - now)

    def give_back(self) -> None:
        """Return a token that was not used."""
        with self._lock:
            try:
                self._change(lambda due, _now: due - self._interval)
            except OSError as error:
                self._failed(error)

    def _change(self, change: Callable[[float, float], float]) -> tuple[float, float]:
        """Replace when the next token is due; return when it was, and the time now."""
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            now = time.monotonic()
            due = self._read(descriptor, now)
            state = b"%b %.6f\n" % (self._boot, max(0.0, change(due, now)))
            os.pwrite(descriptor, state, 0)
            os.ftruncate(descriptor, len(state))
        finally:
            # The lock goes with it.
            os.close(descriptor)
        return due, now

    def _read(self, descriptor: int, now: float) -> float:
        found = STATE.fullmatch(os.pread(descriptor, LONGEST_STATE_BYTES, 0))
        if found is None or found[1] != self._boot:
            return now
        # Farther ahead it is of a slower rate, which no longer holds.
        return min(float(found[2]), now + self._interval)

    def _open(self) -> int:
        # Anew each time: after a cleaning of the folder all processes must find the same file.
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _failed(self, error: OSError) -> float:
        """Say so once, and give no token: a rate that nobody counts is not kept."""
        if not self._is_failing:
            detail = error.strerror or type(error).__name__
            log.error("rate not kept", extra={"path": str(self._path), "detail": detail})
        self._is_failing = True
        return LOOK_AGAIN_SECONDS
