"""`hopmail log-level`: what the running processes log, without starting them anew."""

from typing import Annotated

import typer

from consumer.cli.asking import asking
from consumer.cli.start import settings_or_exit
from consumer.ops.asked import LOG_LEVEL
from consumer.ops.logs import LEVELS


def log_level(
    level: Annotated[
        str | None, typer.Argument(help=f"{', '.join(LEVELS)}; without it, show which holds.")
    ] = None,
    *,
    reset: Annotated[bool, typer.Option("--reset", help="Go back to HOPMAIL_LOG_LEVEL.")] = False,
) -> None:
    """Show or change the log level of this host's processes.

    Within a second. It holds until --reset, or until `hopmail run` starts anew.
    """
    if level is not None and (reset or level.upper() not in LEVELS):
        raise typer.BadParameter(f"say one of {', '.join(LEVELS)}, or --reset")
    settings = settings_or_exit()
    with asking(settings) as control:
        if reset or level is not None:
            control.ask(LOG_LEVEL, level and level.upper())
        asked = control.read().log_level
    if asked is None:
        typer.echo(f"{settings.log_level}, by HOPMAIL_LOG_LEVEL")
    else:
        typer.echo(f"{asked}, until `hopmail log-level --reset` or the next `hopmail run`")
