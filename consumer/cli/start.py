"""What every command begins with: the settings, or what is wrong with them."""

import typer

from consumer.core.exit_code import ExitCode
from consumer.settings import Settings, SettingsError, load_settings


def settings_or_exit() -> Settings:
    """Return the settings; print a line for each wrong value and exit with 78 otherwise."""
    try:
        return load_settings()
    except SettingsError as error:
        for line in error.lines:
            typer.echo(f"✗ {line}", err=True)
        raise typer.Exit(ExitCode.CONFIG) from None
