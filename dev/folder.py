"""Where the demo and `make run` keep mail, log and dead letters: one of each at a time."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class InUse(Exception):
    """Another one keeps its things there; the text says so."""


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep others out of a folder for the length of a block. Raises InUse."""
    folder.mkdir(parents=True, exist_ok=True)
    # The lock ends with this process, however that ends; what it starts does not inherit it.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def empty(folder: Path) -> None:
    """Remove all that lies in a folder."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InUse(
            f"another one is running and keeps its mail and log in {folder}: stop that one first"
        ) from None
