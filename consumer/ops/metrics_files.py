"""The files of figures: how they are named, and which of them nobody writes any more."""

import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from consumer.ops.locks import locked

LISTED_BY_ALL: Final = 0o755
"""node_exporter runs as another user."""

FORGOTTEN_SECONDS: Final = 3600.0
"""Since the last write. What was killed and not started again is to be seen before."""

LOCK: Final = ".lock"
"""Beside the file of a worker, held by the process that writes that."""

OURS: Final = re.compile(r"hopmail-.+-\d+\.(prom|tmp|lock)")


def make(directory: Path) -> None:
    """Make the folder if it is missing. Raises OSError."""
    if not directory.exists():
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(LISTED_BY_ALL)


def path_of(directory: Path, worker: int) -> Path:
    """Return the file of a worker of this host."""
    return directory / f"{_prefix()}{worker}.prom"


def sweep(directory: Path, processes: int) -> None:
    """Remove the files of this host's workers that are no longer run; they are served for ever."""
    for path in directory.glob(f"{_prefix()}*"):
        number = path.stem.rpartition("-")[2]
        if number.isdecimal() and int(number) >= processes:
            remove(path)


def remove(path: Path) -> None:
    """Remove a file, but no lock that is held.

    One that stays is of a worker that is not alive, as its heartbeat tells.
    """
    with suppress(OSError):
        if path.suffix == LOCK:
            _remove_lock(path)
        else:
            path.unlink()


def _remove_lock(path: Path) -> None:
    descriptor = locked(path, os.O_RDWR)
    if descriptor is None:
        return
    try:
        path.unlink()
    finally:
        os.close(descriptor)


def sweep_forgotten(directory: Path) -> None:
    """Remove the files, of any host, that nobody has written for `FORGOTTEN_SECONDS`.

    A container that is made anew has a new name, and its old one's files would be served for ever.
    What cannot be removed stays.
    """
    with suppress(OSError):
        for path in _forgotten(directory):
            remove(path)


def _forgotten(directory: Path) -> Iterator[Path]:
    oldest_seconds = time.time() - FORGOTTEN_SECONDS
    for path in directory.iterdir():
        with suppress(FileNotFoundError):
            if OURS.fullmatch(path.name) and path.stat().st_mtime < oldest_seconds:
                yield path


def _prefix() -> str:
    return f"hopmail-{re.sub(r'[^A-Za-z0-9_.-]', '_', socket.gethostname())}-"
