"""The files of figures: how they are named, and which of them nobody writes any more."""

import os
import re
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from consumer.ops.locks import locked

LISTED_BY_ALL: Final = 0o755
"""node_exporter runs as another user."""

FORGOTTEN_SECONDS: Final = 600.0
"""Since the last write of a process that is gone. It is to be seen before: HopmailWorkerSilent
tells of it after a minute and a half, and HopmailWorkersMissing goes on while a fellow is alive.
"""

UNLOCKED_SECONDS: Final = 3600.0
"""Since the last write of a file without a lock, which tells nothing of its process."""

LOCK: Final = ".lock"
"""Beside the file of a worker, held by the process that writes that."""

OURS: Final = re.compile(r"(hopmail-.+-\d+)\.(prom|tmp|lock)")


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
    ours = re.compile(rf"{re.escape(_prefix())}(\d+)\.(prom|tmp|lock)")
    for path in directory.glob("hopmail-*"):
        if (found := ours.fullmatch(path.name)) and int(found[1]) >= processes:
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
    """Remove the files, of any host, of processes that are gone for `FORGOTTEN_SECONDS`.

    A container that is killed and made anew has a new name, and its old one's files would be served
    for ever. A process that hangs holds its lock, and is seen for as long as it does. What cannot
    be removed stays.
    """
    with suppress(OSError):
        ours = filter(None, (OURS.fullmatch(path.name) for path in directory.iterdir()))
        for name in {found[1] for found in ours}:
            with suppress(OSError):
                _sweep_worker(directory, name)


def _sweep_worker(directory: Path, name: str) -> None:
    figures = [directory / f"{name}{suffix}" for suffix in (".prom", ".tmp")]
    lock = directory / f"{name}{LOCK}"
    if not lock.exists():
        if _are_older(figures, UNLOCKED_SECONDS):
            _unlink(figures)
        return
    files = [*figures, lock]
    # First without the lock, which its next process may be about to take.
    if not _are_older(files, FORGOTTEN_SECONDS) or (held := locked(lock, os.O_RDWR)) is None:
        return
    try:
        if _are_older(files, FORGOTTEN_SECONDS):
            _unlink(files)
    finally:
        os.close(held)


def _are_older(paths: Iterable[Path], than_seconds: float) -> bool:
    """Whether all that are there were last written so long ago."""
    oldest_seconds = time.time() - than_seconds
    return all(path.stat().st_mtime < oldest_seconds for path in paths if path.exists())


def _unlink(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _prefix() -> str:
    return f"hopmail-{re.sub(r'[^A-Za-z0-9_.-]', '_', socket.gethostname())}-"
