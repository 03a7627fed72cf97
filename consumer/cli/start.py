"""What commands begin with: settings, relays and ledger, or what is wrong with them."""

import typer

from consumer.core.exit_code import ExitCode
from consumer.desk import FIRST_SESSION_SLOT
from consumer.ledger.ledger import Ledger
from consumer.ledger.none import NoLedger
from consumer.ledger.opening import Hands, LedgerUnusable, open_ledger, refuse_foreign_root
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


def ledger_or_exit(settings: Settings) -> tuple[Ledger | NoLedger, Hands]:
    """Return the ledger and our hands; say why and exit with 78 where it is set up wrongly.

    Raises LedgerTrouble where its disk does not let us, now.
    """
    try:
        return open_ledger(
            settings.ledger,
            settings.state_dir,
            settings.ledger_retention,
            FIRST_SESSION_SLOT + settings.smtp_sessions,
        )
    except LedgerUnusable as unusable:
        typer.echo(f"✗ {unusable}", err=True)
        raise typer.Exit(ExitCode.CONFIG) from None
