"""The `hopmail` command: its groups, put together."""

import typer

from consumer.cli import (
    check,
    classify,
    consume,
    deadletters,
    drain,
    ledger,
    log_level,
    lookup,
    panels,
    pause,
    run,
    send,
    status,
    topology,
    validate,
    version,
)
from consumer.cli.help_pages import Readable

app = typer.Typer(
    cls=Readable,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Hopmail sends the emails that web apps publish to RabbitMQ. Settings are read from "
    "HOPMAIL_* variables and .env.",
)
app.callback()(version.version)
app.command(rich_help_panel=panels.RUN)(run.run)
app.command(rich_help_panel=panels.RUN)(consume.consume)
app.command(rich_help_panel=panels.RUN)(pause.pause)
app.command(rich_help_panel=panels.RUN)(pause.resume)
app.command(rich_help_panel=panels.RUN)(drain.drain)
app.command(rich_help_panel=panels.LOOK)(status.status)
app.command(rich_help_panel=panels.LOOK)(lookup.lookup)
app.command(rich_help_panel=panels.LOOK)(log_level.log_level)
app.command(rich_help_panel=panels.LOOK)(classify.classify)
app.command(rich_help_panel=panels.MAIL)(send.send)
app.command(rich_help_panel=panels.MAIL)(validate.validate)
app.add_typer(deadletters.app, name="deadletters", rich_help_panel=panels.MAIL)
app.command(rich_help_panel=panels.SET_UP)(check.check)
app.add_typer(topology.app, name="topology", rich_help_panel=panels.SET_UP)
app.add_typer(ledger.app, name="ledger", rich_help_panel=panels.SET_UP)
