"""The `hopmail` command: its groups, put together."""

import typer

from consumer.cli import (
    check,
    consume,
    deadletters,
    log_level,
    lookup,
    run,
    status,
    topology,
    version,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Hopmail sends the emails that web apps publish to RabbitMQ. Settings are read from "
    "HOPMAIL_* variables and .env.",
)
app.callback()(version.version)
app.command()(consume.consume)
app.command()(run.run)
app.command()(check.check)
app.command()(status.status)
app.command()(lookup.lookup)
app.command()(log_level.log_level)
app.add_typer(topology.app, name="topology")
app.add_typer(deadletters.app, name="deadletters")
