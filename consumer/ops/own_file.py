"""The file of one process's figures."""

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from consumer.ops.locks import is_at, locked
from consumer.ops.metrics_files import LOCK, make, remove

READABLE_BY_ALL: Final = 0o644
"""node_exporter runs as another user."""

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

BLOCK_BYTES: Final = 4096
SPARE_BYTES: Final = 1024
"""Room at the file's end for figures that grow while the disk is full."""


class Taken(Exception):
    """Another process writes that file."""


class OwnFile:
    """A file that is written again and again, as a whole, by one process at a time.

    From its first write to `remove` a process holds the lock of a file beside it. It ends with the
    process, however that ends.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beside = path.with_suffix(".tmp")
        self._lock_path = path.with_suffix(LOCK)
        self._lock: int | None = None

    def write(self, page: bytes) -> None:
        """Replace the file, in one step for whoever reads it. Raises Taken, or OSError.

        On a full disk it is overwritten, as its blocks are its own: the ledger's trouble is to be
        seen even where both are on that disk. Who reads it just then may get a mixture; one that
        ends within a line is rejected.
        """
        make(self._path.parent)
        if not self._is_ours():
            raise Taken
        try:
            self._replace(page)
        except OSError as error:
            if error.errno not in FULL or not self._path.exists():
                raise
            self._overwrite(page)

    def remove(self) -> None:
        """Remove the file and what is beside it, if it is ours, and leave it to others."""
        if self._lock is None:
            return
        for path in (self._path, self._beside):
            remove(path)
        # Last, and while it is held: whoever has opened it meanwhile sees that it is gone.
        with suppress(OSError):
            self._lock_path.unlink()
        os.close(self._lock)
        self._lock = None

    def _is_ours(self) -> bool:
        if self._lock is not None and not is_at(self._lock_path, os.fstat(self._lock).st_ino):
            os.close(self._lock)
            self._lock = None
        if self._lock is None:
            self._lock = locked(self._lock_path, os.O_RDWR | os.O_CREAT)
        return self._lock is not None

    def _replace(self, page: bytes) -> None:
        blocks = (len(page) + SPARE_BYTES) // BLOCK_BYTES + 1
        try:
            self._beside.write_bytes(_filled(page, blocks * BLOCK_BYTES))
            self._beside.chmod(READABLE_BY_ALL)
            self._beside.replace(self._path)
        except OSError:
            remove(self._beside)
            raise

    def _overwrite(self, page: bytes) -> None:
        with self._path.open("r+b") as file:
            # It stays as long as it is, and keeps its blocks.
            page = _filled(page, os.fstat(file.fileno()).st_size)
            # Where there is no room for it, not a byte is written.
            os.posix_fallocate(file.fileno(), 0, len(page))
            file.write(page)


def _filled(page: bytes, size: int) -> bytes:
    """Return a page with a blank line at its end, which means nothing, for the bytes it lacks."""
    missing = size - len(page)
    return page + b" " * (missing - 1) + b"\n" if missing > 0 else page
