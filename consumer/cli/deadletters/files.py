"""Where dead letters are written to and read from: a file, or standard input and output."""

import io
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Annotated, Any, Final

import typer

from consumer.cli.deadletters.hands import fail

SPOOL_BYTES: Final = 8 * 1024 * 1024
STDIO: Final = "-"

FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="`-`: standard input or output.")]

Write = Callable[[str], None]
"""Writes a line; exits with one of its own where that fails."""


@contextmanager
def written(name: str) -> Iterator[Write]:
    """Open what is written to: a new file only its owner can read, that is whole or not there."""
    if name == STDIO:
        with printed() as write:
            yield write
        return
    path = Path(name)
    part = path.with_name(f"{path.name}.part")
    sink = _opened(path, part)
    try:
        if path.exists():
            fail(f"{path} exists: name a new file")
        yield partial(_write, sink, name)
        with _told(name):
            sink.flush()
            os.fsync(sink.fileno())
            part.rename(path)
    finally:
        with suppress(OSError):
            sink.close()
        part.unlink(missing_ok=True)


@contextmanager
def printed() -> Iterator[Write]:
    """Gather what is printed in the end: whoever reads it may take his time.

    The queue is not held meanwhile, nor is all in memory.
    """
    with SpooledTemporaryFile(SPOOL_BYTES) as spool:
        yield partial(_write, spool, "a temporary file")
        spool.seek(0)
        with _told("standard output"):
            shutil.copyfileobj(spool, sys.stdout.buffer)
            sys.stdout.buffer.flush()


@contextmanager
def reading(name: str) -> Iterator[IO[str]]:
    """Open what is read from, so that it can be read twice."""
    with (
        _told(name, "read"),
        sys.stdin.buffer if name == STDIO else Path(name).open("rb") as source,
    ):
        if source.seekable():
            yield _as_text(source)
            return
        with SpooledTemporaryFile(SPOOL_BYTES) as spool:
            shutil.copyfileobj(source, spool)
            spool.seek(0)
            yield _as_text(spool)


def _opened(path: Path, part: Path) -> IO[bytes]:
    try:
        return os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except FileExistsError:
        fail(f"{part} exists: another export writes it, or was killed; remove it then")
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}")


def _write(sink: IO[bytes], name: str, line: str) -> None:
    with _told(name):
        sink.write(f"{line}\n".encode())


@contextmanager
def _told(name: str, what: str = "written") -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        # Whoever reads has seen enough, as `head` does: that ends us without a word.
        raise
    except OSError as error:
        fail(f"{name} cannot be {what}: {error.strerror or error}")


def _as_text(source: Any) -> IO[str]:
    return io.TextIOWrapper(source, encoding="utf-8", errors="replace", newline="\n")
