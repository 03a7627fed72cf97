"""`hopmail --version`."""

from importlib.metadata import version as installed_version
from typing import Annotated

import typer


def _show(wanted: bool) -> None:  # noqa: FBT001 - typer's callback
    if wanted:
        typer.echo(f"hopmail {installed_version('hopmail')}")
        raise typer.Exit


def version(
    *,
    _wanted: Annotated[
        bool,
        typer.Option("--version", callback=_show, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Take the options that stand before a command."""
