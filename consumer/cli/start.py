"""What commands begin with: settings, relays and ledger, or what is wrong with them."""

from collections.abc import Collection

import typer

from consumer.cli.run_log import RUN
from consumer.core.disk_errors import PASSING
from consumer.core.exit_code import ExitCode
from consumer.desk import FIRST_SESSION_SLOT
from consumer.ledger.ledger import Ledger
from consumer.ledger.none import NoLedger
from consumer.ledger.opening import Hands, LedgerUnusable, open_ledger, refuse_foreign_root
from consumer.ops import logs
from consumer.ops.archive import Archive
from consumer.settings import Settings, SettingsError, load_settings
from consumer.smtp.relays import Relays


def settings_or_exit(unneeded: Collection[str] = ()) -> Settings:
    """Return the settings; print a line for each wrong value and exit with 78 otherwise.

    `unneeded`: variables that the command does without.
    """
    try:
        return load_settings(unneeded)
    except SettingsError as error:
        for line in error.lines:
            typer.echo(f"✗ {line}", err=True)
        raise typer.Exit(ExitCode.CONFIG) from None


def logs_or_exit(settings: Settings, worker: int) -> Archive | None:
    """Begin a worker's log; return its archive, if there is one.

    Says why and exits with 78 where the archive cannot be written. A disk that is full or failing
    now may come right: the first line says so, and mail goes on.
    """
    archive = _archive(settings, str(worker))
    to_stdout = settings.log_stdout == "yes"
    logs.configure(settings.log_level, settings.log_format, worker, archive, to_stdout=to_stdout)
    return archive


def check_archive_or_exit(settings: Settings) -> None:
    """Say why and exit with 78 where the archive of the log cannot be written."""
    archive = _archive(settings, RUN)
    if archive is not None:
        archive.close()


def _archive(settings: Settings, whose: str) -> Archive | None:
    if settings.log_dir is None:
        return None
    archive = Archive(settings.log_dir, whose, settings.log_max_bytes, settings.log_keep)
    try:
        archive.open()
    except OSError as error:
        if error.errno in PASSING:
            return archive
        typer.echo(
            f"✗ HOPMAIL_LOG_DIR: {settings.log_dir} cannot be written by this user"
            f" ({error.strerror}); create it for this user, or name another place",
            err=True,
        )
        raise typer.Exit(ExitCode.CONFIG) from None
    return archive


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
