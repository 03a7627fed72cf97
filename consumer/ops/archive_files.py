"""The files of the log's archive: whose they are, how they are compressed and when they go.

A file is looked after by whoever holds its lock (flock, which ends with the process): the one that
is written by its writer, one that is compressed by who compresses it.
"""

import errno
import gzip
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from consumer.ops.locks import MODE, locked
from consumer.ops.whole_lines import WholeLines

MOST_WRITERS: Final = 10
"""Of one name at once: a process may still be ending while the one in its place has begun."""

COMPRESSION: Final = 1
"""It leaves a sixth of a log, for 4 µs a line; the 6 that gzip has by default leaves a seventh, for
6 µs."""

CHUNK_BYTES: Final = 256 * 1024

STAMP: Final = r"\.\d{8}T\d{9}Z"
ROTATED: Final = re.compile(rf"hopmail-.+{STAMP}\.log")
OURS: Final = re.compile(rf"hopmail-.+(-(\d+|run)(\+\d)?|{STAMP})\.log(\.gz(\.tmp)?)?")

open_ours = partial(os.open, mode=MODE)


def name_of(whose: str) -> str:
    """Return how the names begin of the files of a process of this host."""
    return f"hopmail-{re.sub(r'[^A-Za-z0-9_.-]', '_', socket.gethostname())}-{whose}"


def open_file(folder: Path, name: str) -> tuple[Path, WholeLines]:
    """Open the first file of a name that no other process writes. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(MOST_WRITERS):
        path = folder / f"{name}{f'+{number}' if number else ''}.log"
        if (descriptor := locked(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)) is not None:
            return path, WholeLines(descriptor)
    raise OSError(errno.EBUSY, "so many processes of one name write there already", str(folder))


def rotated(path: Path) -> Path:
    """Return the name for a file that is full, which tells when that was."""
    milliseconds = time.time_ns() // 1_000_000
    while True:
        second, rest = divmod(milliseconds, 1000)
        moment = datetime.fromtimestamp(second, UTC).strftime("%Y%m%dT%H%M%S")
        found = path.with_name(f"{path.stem}.{moment}{rest:03}Z.log")
        if not found.exists() and not _compressed(found).exists():
            return found
        milliseconds += 1


def tidy(folder: Path, keep: timedelta) -> None:
    """Compress what is full, and remove what was last written longer than `keep` ago.

    Also what processes that are gone have left, half done or not begun. Raises the first OSError,
    after all that can be done.
    """
    oldest_seconds = time.time() - keep.total_seconds()
    failed: OSError | None = None
    for path in sorted(_due(folder, oldest_seconds)):
        try:
            with _ours(path) as is_ours:
                if is_ours and path.stat().st_mtime < oldest_seconds:
                    path.unlink()
                elif is_ours and ROTATED.fullmatch(path.name):
                    _compress(path)
        except OSError as error:
            failed = failed or error
    if failed is not None:
        raise failed


def _due(folder: Path, oldest_seconds: float) -> Iterator[Path]:
    """Yield what is to be compressed or removed, of files that may be many thousands."""
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if ROTATED.fullmatch(entry.name) or (
                OURS.fullmatch(entry.name) and _is_older(entry, oldest_seconds)
            ):
                yield Path(entry)


def _is_older(entry: "os.DirEntry[str]", than_seconds: float) -> bool:
    with suppress(FileNotFoundError):
        return entry.stat().st_mtime < than_seconds
    return False


@contextmanager
def _ours(path: Path) -> Iterator[bool]:
    """Have a file to ourselves; False where another process does, or it is gone."""
    try:
        descriptor = locked(path, os.O_RDONLY)
    except FileNotFoundError:
        descriptor = None
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _compressed(path: Path) -> Path:
    return path.with_name(f"{path.name}.gz")


def _compress(path: Path) -> None:
    """Put a compressed file in the place of a full one.

    Wherever that ends midway the full one is still there, and it is done anew.
    """
    whole = _compressed(path)
    beside = whole.with_name(f"{whole.name}.tmp")
    try:
        with path.open("rb") as source, open(beside, "wb", opener=open_ours) as file:
            with gzip.GzipFile("", "wb", COMPRESSION, file, mtime=0) as packed:
                shutil.copyfileobj(source, packed, CHUNK_BYTES)
            file.flush()
            os.fsync(file.fileno())
        # It is as old as its last line.
        written_seconds = path.stat().st_mtime
        os.utime(beside, (written_seconds, written_seconds))
        beside.replace(whole)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    path.unlink()
