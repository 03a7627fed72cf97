"""`hopmail log-level`: what the running processes log, without starting them anew."""

from typing import Annotated, NoReturn

import typer

from consumer.cli.start import settings_or_exit
from consumer.core.exit_code import ExitCode
from consumer.ops.control import LOG_LEVEL, Control, Damaged
from consumer.ops.logs import LEVELS


def log_level(
    level: Annotated[
        str | None, typer.Argument(help=f"{', '.join(LEVELS)}; without it, show which holds.")
    ] = None,
    *,
    reset: Annotated[bool, typer.Option("--reset", help="Go back to HOPMAIL_LOG_LEVEL.")] = False,
) -> None:
    """Show or change the log level of this host's processes, within a second.

    It holds until --reset, or until `hopmail run` starts anew.
    """
    if level is not None and (reset or level.upper() not in LEVELS):
        raise typer.BadParameter(f"say one of {', '.join(LEVELS)}, or --reset")
    settings = settings_or_exit()
    control = Control(settings.state_dir)
    try:
        if reset or level is not None:
            control.ask(LOG_LEVEL, level and level.upper())
        asked = control.read().log_level
    except (Damaged, OSError) as error:
        _fail(f"HOPMAIL_STATE_DIR: {settings.state_dir}: {getattr(error, 'strerror', error)}")
    if asked is None:
        typer.echo(f"{settings.log_level}, by HOPMAIL_LOG_LEVEL")
    else:
        typer.echo(f"{asked}, until `hopmail log-level --reset` or the next `hopmail run`")


def _fail(line: str) -> NoReturn:
    typer.echo(f"✗ {line}", err=True)
    raise typer.Exit(ExitCode.FAILED) from None
