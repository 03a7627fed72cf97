"""How much may be on its way at once: whoever comes when it is full waits."""

import math
import threading
import time


class Window:
    """Counts messages and their bytes. A message larger than the bytes goes alone."""

    def __init__(self, messages: int, size_bytes: int) -> None:
        self._messages = messages
        self._bytes = size_bytes
        self._count = 0
        self._size = 0
        self._closed = False
        self._changed = threading.Condition(threading.Lock())

    def enter(self, size: int, deadline: float) -> bool:
        """Wait for room until this moment of the monotonic clock; False: no room, or closed."""
        with self._changed:
            if not self._settles(size):
                self._changed.wait_for(lambda: self._settles(size), _seconds_until(deadline))
            if self._closed or not self._has_room(size):
                return False
            self._add(size)
            return True

    def squeeze_in(self, size: int) -> None:
        """Enter without waiting, full or not."""
        with self._changed:
            self._add(size)

    def leave(self, size: int) -> None:
        """Make room again."""
        with self._changed:
            self._count -= 1
            self._size -= size
            self._changed.notify_all()

    def close(self) -> None:
        """Let nobody in any more, nor anybody who waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _add(self, size: int) -> None:
        self._count += 1
        self._size += size

    def _settles(self, size: int) -> bool:
        return self._closed or self._has_room(size)

    def _has_room(self, size: int) -> bool:
        if self._count == 0:
            return True
        return self._count < self._messages and self._size + size <= self._bytes


def _seconds_until(deadline: float) -> float | None:
    return None if deadline == math.inf else max(0.0, deadline - time.monotonic())
