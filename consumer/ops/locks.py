"""Files that one process has to itself: by flock, which ends with the process."""

import fcntl
import os
from pathlib import Path
from typing import Final

MODE: Final = 0o640


def locked(path: Path, flags: int) -> int | None:
    """Return a descriptor that holds the file's lock; None where another one does."""
    while True:
        descriptor = os.open(path, flags | os.O_CLOEXEC, MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between the two it may have been renamed or removed.
            if is_at(path, os.fstat(descriptor).st_ino):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether another one holds a file's lock, as far as can be seen; False without the file."""
    try:
        descriptor = locked(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def is_at(path: Path, inode: int) -> bool:
    """Whether a file is still under its name, as far as can be seen."""
    try:
        return path.stat().st_ino == inode
    except FileNotFoundError:
        return False
    except OSError:
        return True
