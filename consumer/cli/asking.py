"""What commands that ask something of a host's processes have in common."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from consumer.core.exit_code import ExitCode
from consumer.ops.asked import Damaged
from consumer.ops.control import Control
from consumer.settings import Settings


@contextmanager
def asking(settings: Settings) -> Iterator[Control]:
    """Lend what is asked of this host's processes; say why where it cannot be read or written."""
    folder = settings.state_dir
    try:
        yield Control(folder)
    except Damaged as error:
        fail(f"{folder}/control.json: {error}; remove it, and ask anew")
    except OSError as error:
        fail(f"HOPMAIL_STATE_DIR: {folder}: {error.strerror}")


def fail(line: str) -> NoReturn:
    """Say what went wrong, and end with exit code 1."""
    typer.echo(f"✗ {line}", err=True)
    raise typer.Exit(ExitCode.FAILED) from None
