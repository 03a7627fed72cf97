"""A file's end, to which lines are written wholly, or not at all."""

import os
from contextlib import suppress
from typing import Final

LAST_LINE_BYTES: Final = 64 * 1024
"""The most that is looked at for what is left of a torn line."""


class WholeLines:
    """The end of a file that is ours: a line is in it wholly, or not at all."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        status = os.fstat(descriptor)
        self.size, self.written_seconds, self.inode = status.st_size, status.st_mtime, status.st_ino
        self._cut_torn_line()

    def write(self, text: str) -> None:
        """Append a line, or raise OSError and leave the file as it was."""
        left = memoryview(text.encode(errors="backslashreplace"))
        size = self.size + len(left)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            os.ftruncate(self._descriptor, self.size)
            raise
        self.size = size

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Let go of the file; what was written is the kernel's."""
        with suppress(OSError):
            os.close(self._descriptor)

    def _cut_torn_line(self) -> None:
        """Remove what is left of a line of which its process died."""
        begin = max(0, self.size - LAST_LINE_BYTES)
        tail = os.pread(self._descriptor, LAST_LINE_BYTES, begin)
        if tail and not tail.endswith(b"\n"):
            self.size = begin + tail.rfind(b"\n") + 1
            os.ftruncate(self._descriptor, self.size)
