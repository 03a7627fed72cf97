"""`hopmail ledger`: a copy of the ledger's file, and back."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from consumer.cli.start import settings_or_exit
from consumer.core.exit_code import ExitCode
from consumer.core.ledger_url import LedgerURL
from consumer.ledger import backup as files
from consumer.ledger.opening import LedgerUnusable
from consumer.ledger.store import LedgerTrouble

app = typer.Typer(no_args_is_help=True, help="The ledger's file: a copy of it, and back.")

Target = Annotated[Path, typer.Argument(metavar="FILE", help="To be made, or replaced.")]
Source = Annotated[Path, typer.Argument(metavar="FILE", help="Made by `hopmail ledger backup`.")]


@app.command()
def backup(file: Target) -> None:
    """Copy a SQLite ledger into FILE while the workers go on.

    The copy is of one moment. It holds addresses: only its owner may read it.
    """
    copied = _tried(files.back_up, file)
    typer.echo(f"✓ {file}: {copied.entries} entries, {copied.size_bytes} bytes")


@app.command()
def restore(file: Source) -> None:
    """Put FILE in the ledger's place, while no worker of this host runs.

    What was settled since the copy is not known any more: a further copy of
    such a mail, if one still comes, is sent again.
    """
    copied = _tried(files.restore, file)
    typer.echo(f"✓ the ledger has {copied.entries} entries again")


def _tried(act: Callable[[LedgerURL, Path], files.Copied], file: Path) -> files.Copied:
    settings = settings_or_exit()
    try:
        return act(settings.ledger, file)
    except (LedgerUnusable, LedgerTrouble) as error:
        typer.echo(f"✗ ledger: {error}", err=True)
        raise typer.Exit(ExitCode.FAILED) from None
