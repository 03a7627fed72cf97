"""Lets one thread work while no other does."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Alone:
    """Many may work beside each other, or one alone. Who wants to be alone goes first."""

    def __init__(self) -> None:
        self._working = 0
        self._alone = 0
        self._changed = threading.Condition()

    @contextmanager
    def beside_others(self) -> Iterator[None]:
        """Work once nobody works alone, or wants to."""
        with self._changed:
            if self._alone:
                self._changed.wait_for(lambda: not self._alone)
            self._working += 1
        try:
            yield
        finally:
            with self._changed:
                self._working -= 1
                if self._alone:
                    self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Work once nobody else does."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._alone += 1
            self._changed.wait_for(lambda: not self._working)
        try:
            yield
        finally:
            with self._changed:
                self._alone -= 1
                self._changed.notify_all()
