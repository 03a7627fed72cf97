"""`hopmail deadletters export`: dead letters as lines of JSON."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Annotated, Final

import typer

from consumer.cli.deadletters.choose import (
    DomainOption,
    IDs,
    LaneOption,
    LoginOption,
    OlderOption,
    ReasonOption,
    chosen,
)
from consumer.cli.deadletters.hands import count, fail, opened, progress
from consumer.cli.start import settings_or_exit
from consumer.core.dead_letter import read_dead_letter
from consumer.core.dead_letter_json import export_line
from consumer.core.delivery import Delivery

SPOOL_BYTES: Final = 8 * 1024 * 1024
STDIO: Final = "-"

FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="`-`: standard input or output.")]


def export(
    file: FileArgument,
    ids: IDs = None,
    *,
    reasons: ReasonOption = None,
    lanes: LaneOption = None,
    domains: DomainOption = None,
    logins: LoginOption = None,
    older_than: OlderOption = None,
) -> None:
    """Write dead letters, bodies and all, into a file of JSON lines; the queue stays as it is.

    The file may hold secrets: only you can read it.
    """
    choice = chosen(
        ids,
        reasons=reasons,
        lanes=lanes,
        domains=domains,
        logins=logins,
        older_than=older_than,
    )
    settings, now, exported = settings_or_exit(), datetime.now(UTC), 0

    with (
        _written(file) as sink,
        opened(settings) as queue,
        progress("exporting", queue.count) as step,
    ):

        def look(delivery: Delivery) -> str | None:
            step()
            letter = read_dead_letter(delivery, settings.trusted_logins, now)
            return export_line(delivery) if choice.means(letter, now) else None

        for line in queue.each(look):
            sink.write(f"{line}\n")
            exported += 1
    typer.echo(f"✓ {count(exported)} exported", err=True)


@contextmanager
def _written(name: str) -> Iterator[IO[str]]:
    """Open what is written to: a new file only its owner can read, that is whole or not there."""
    if name == STDIO:
        # Whoever reads it may take his time: the queue is not held meanwhile.
        with SpooledTemporaryFile(SPOOL_BYTES, "w+", encoding="utf-8", newline="\n") as spool:
            yield spool
            spool.seek(0)
            shutil.copyfileobj(spool, sys.stdout)
        return
    path = Path(name)
    if path.exists():
        fail(f"{path} exists: name a new file")
    part = path.with_name(f"{path.name}.part")
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as sink:
            yield sink
            sink.flush()
            os.fsync(sink.fileno())
        part.rename(path)
    except FileExistsError:
        fail(f"{part} exists: another export writes it, or was killed; remove it then")
    except OSError as error:
        part.unlink(missing_ok=True)
        fail(f"{path} cannot be written: {error.strerror}")
    except BaseException:
        part.unlink(missing_ok=True)
        raise
