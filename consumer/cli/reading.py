"""A file, or standard input, as a command reads it: whole, and never without an end."""

import errno
import os
import sys
from pathlib import Path
from typing import Final

from consumer.core.contract import MAX_BODY_BYTES

LARGEST_BYTES: Final = 4 * MAX_BODY_BYTES
"""What is larger than an email may be is still counted; what is larger than this is not read."""


def read(name: str) -> bytes:
    """Return what a file holds; `-` is standard input. Raises OSError, as for what is too large."""
    if name == "-":
        octets = sys.stdin.buffer.read(LARGEST_BYTES + 1)
    else:
        with Path(name).open("rb") as file:
            octets = file.read(LARGEST_BYTES + 1)
    if len(octets) > LARGEST_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), name)
    return octets
