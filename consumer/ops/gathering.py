"""An output to which lines may be written many at a time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, TextIO

LARGEST_WRITE_BYTES: Final = 4096
"""What Linux writes into a pipe in one piece (PIPE_BUF, pipe(7)): several processes may share it,
and no line of one may stand within that of another. A longer line has to stand for itself."""


class Gathering:
    """Writes to `stream` when it is flushed; what a thread gathers, once it has."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._lines: list[str] = []
        self._bytes = 0
        self._gatherer: int | None = None
        self._lock = threading.RLock()

    def write(self, text: str) -> None:
        """Take a line."""
        size = len(text) if text.isascii() else len(text.encode(errors="backslashreplace"))
        with self._lock:
            try:
                if self._bytes + size > LARGEST_WRITE_BYTES:
                    self._write()
            finally:
                self._lines.append(text)
                self._bytes += size

    def flush(self) -> None:
        """Write what was taken, unless this thread gathers."""
        if self._gatherer != threading.get_ident():
            self._write()

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Have the lines of this thread written at the end of a block, or when they are many.

        One thread at a time may. What cannot be written is lost, as logging has it with any line.
        """
        self._gatherer = threading.get_ident()
        try:
            yield
        finally:
            self._gatherer = None
            with suppress(OSError, ValueError):
                self._write()

    def _write(self) -> None:
        with self._lock:
            text, self._lines, self._bytes = "".join(self._lines), [], 0
            if text:
                self.stream.write(text)
                self.stream.flush()
