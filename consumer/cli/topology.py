"""`hopmail topology`: make the exchanges and queues, or compare them with what is there."""

from typing import NoReturn

import typer

from consumer.amqp import declare
from consumer.amqp.connection import BrokerUnavailable
from consumer.cli import migrate
from consumer.cli.start import settings_or_exit
from consumer.cli.users import users
from consumer.core.exit_code import ExitCode
from consumer.core.topology import topology

app = typer.Typer(no_args_is_help=True, help="The exchanges and queues on the broker.")


@app.command()
def apply() -> None:
    """Make every exchange, queue and binding that is missing. Deletes nothing."""
    settings = settings_or_exit()
    wanted = topology(settings.retry_delays)
    try:
        declare.apply(settings.amqp_urls, wanted)
    except BrokerUnavailable as error:
        _fail(f"broker: {error}")
    except declare.TopologyMismatch as mismatch:
        for difference in mismatch.differences:
            typer.echo(f"✗ {difference}", err=True)
        raise typer.Exit(ExitCode.CONFIG) from None
    typer.echo(f"✓ {len(wanted.exchanges)} exchanges and {len(wanted.queues)} queues stand")


@app.command()
def check() -> None:
    """Show what differs on the broker, a line each; exit 1 when something does."""
    settings = settings_or_exit()
    wanted = topology(settings.retry_delays)
    try:
        found = declare.compare(settings.amqp_urls, wanted)
    except BrokerUnavailable as error:
        _fail(f"broker: {error}")
    for difference in found.differences:
        typer.echo(f"✗ {difference}")
    if found.differences:
        raise typer.Exit(ExitCode.FAILED)
    state = f"there; {declare.UNSEEN}" if found.is_by_name_only else "right"
    typer.echo(f"✓ {len(wanted.exchanges)} exchanges and {len(wanted.queues)} queues are {state}")


app.command()(users)


app.command()(migrate.migrate)


def _fail(line: str) -> NoReturn:
    typer.echo(f"✗ {line}", err=True)
    raise typer.Exit(ExitCode.FAILED) from None
