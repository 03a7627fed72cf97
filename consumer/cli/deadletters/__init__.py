"""`hopmail deadletters`: what nobody will try again by itself, in a person's hands."""

import logging

import typer

from consumer.cli import keygen
from consumer.cli.deadletters import edit, export, importing, listing, purge, replay, resolve, show

app = typer.Typer(no_args_is_help=True)


@app.callback()
def deadletters() -> None:
    """See, mend, send again, keep and remove dead letters.

    That is mail that is not tried again by itself. Looking never changes the queue. Whatever takes
    a dead letter out of it has the broker's word first that the copy is safe: stop any of these at
    any moment, and run it again.
    """
    # A person reads our own line; what was logged on the way says it again.
    logging.getLogger().addHandler(logging.NullHandler())


app.command(name="list")(listing.list_)
app.command()(show.show)
app.command()(replay.replay)
app.command()(edit.edit)
app.command()(resolve.resolve)
app.command()(export.export)
app.command(name="import")(importing.import_)
app.command()(purge.purge)
app.command()(keygen.keygen)
