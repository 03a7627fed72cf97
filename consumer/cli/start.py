"""What commands begin with: settings and relays, or what is wrong with them."""

import typer

from consumer.core.exit_code import ExitCode
from consumer.ledger.opening import LedgerUnusable, refuse_foreign_root
from consumer.settings import Settings, SettingsError, load_settings
from consumer.smtp.relays import Relays


def settings_or_exit() -> Settings:
    """Return the settings; print a line for each wrong value and exit with 78 otherwise."""
    try:
        return load_settings()
    except SettingsError as error:
        for line in error.lines:
            typer.echo(f"✗ {line}", err=True)
        raise typer.Exit(ExitCode.CONFIG) from None


def relays_or_exit(settings: Settings) -> Relays:
    """Return the relays; say why and exit with 78 where the rate of one could not be kept."""
    try:
        if any(url.rate is not None for url in settings.relays):
            refuse_foreign_root(settings.state_dir)
        return Relays(settings.relays, settings.state_dir)
    except LedgerUnusable as unusable:
        typer.echo(f"✗ {unusable}", err=True)
        raise typer.Exit(ExitCode.CONFIG) from None
    except OSError as error:
        typer.echo(
            f"✗ HOPMAIL_STATE_DIR: a relay's rate cannot be kept in {settings.state_dir}:"
            f" {error.strerror}; create the folder and let this user write to it",
            err=True,
        )
        raise typer.Exit(ExitCode.CONFIG) from None
