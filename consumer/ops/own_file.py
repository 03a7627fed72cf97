"""The file of one process's figures."""

import errno
import os
from pathlib import Path
from typing import Final

from consumer.ops.metrics_files import make, remove

READABLE_BY_ALL: Final = 0o644
"""node_exporter runs as another user."""

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

BLOCK_BYTES: Final = 4096
SPARE_BYTES: Final = 1024
"""Room at the file's end for figures that grow while the disk is full."""


class OwnFile:
    """A file that is written again and again, as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beside = path.with_suffix(".tmp")

    def write(self, page: bytes) -> None:
        """Replace the file, in one step for whoever reads it. Raises OSError.

        On a full disk it is overwritten, as its blocks are its own: the ledger's trouble is to be
        seen even where both are on that disk. Who reads it just then may get a mixture; one that
        ends within a line is rejected.
        """
        make(self._path.parent)
        try:
            self._replace(page)
        except OSError as error:
            if error.errno not in FULL or not self._path.exists():
                raise
            self._overwrite(page)

    def remove(self) -> None:
        """Remove the file, and what a write may have left beside it."""
        for path in (self._path, self._beside):
            remove(path)

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
