"""`hopmail deadletters keygen`: the keys that seal and open dead letters' bodies."""

import os
from datetime import UTC, datetime
from errno import EPERM
from pathlib import Path
from typing import Annotated, Final

import typer

from consumer.cli.dead_body import NO_EXTRA
from consumer.core.exit_code import ExitCode
from consumer.core.seal_keys import OpenKey, SealKey

FILE_MODE: Final = 0o600
OF_OTHERS: Final = 0o077


def keygen(
    file: Annotated[
        Path, typer.Argument(help="Gets the key that opens; made where it is missing.")
    ],
) -> None:
    """Make keys for HOPMAIL_DEADLETTER_BODY=encrypt: one to seal, one to open.

    The key that opens is added to FILE; those it has still open what they did.
    Keep it where dead letters are read, never with the consumers. The key that
    seals is printed, as the setting of the consumers.
    """
    try:
        from consumer.crypt.seal import new_keys  # noqa: PLC0415 - the library is an extra
    except ModuleNotFoundError:
        _fail(NO_EXTRA)
        return
    sealing, opening = new_keys()
    try:
        _add(file, sealing, opening)
    except OSError as error:
        _fail(f"{file}: {error.strerror}; nothing was made")
    typer.echo(f"✓ the key that opens ({sealing.id.hex()}) is in {file}, for", err=True)
    typer.echo("  HOPMAIL_DEADLETTER_OPEN_KEYS_FILE where dead letters are read", err=True)
    typer.echo("✓ the one that seals, for the consumers:", err=True)
    typer.echo(f"HOPMAIL_DEADLETTER_SEAL_KEY={sealing.to_text()}")


def _add(file: Path, sealing: SealKey, opening: OpenKey) -> None:
    made = f"# {sealing.id.hex()}, made {datetime.now(UTC):%Y-%m-%d}, opens what was sealed by"
    lines = f"{made}\n# {sealing.to_text()}\n{opening.to_text()}\n"
    opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, FILE_MODE)
    with open(opened, "w", encoding="utf-8") as stream:  # noqa: PTH123 - of a descriptor
        if os.fstat(opened).st_mode & OF_OTHERS:
            raise PermissionError(EPERM, "others can read it; say `chmod 600` to it first")
        stream.write(lines)
        stream.flush()
        # What is sealed from now on can be opened with this alone.
        os.fsync(stream.fileno())


def _fail(line: str) -> None:
    typer.echo(f"✗ {line}", err=True)
    raise typer.Exit(ExitCode.FAILED) from None
