"""`hopmail lookup`: what became of one message, and where it is now."""

import json
import logging
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from consumer.amqp.connection import BrokerUnavailable
from consumer.amqp.dead_letters import dead_letters
from consumer.amqp.hold import InOtherHands
from consumer.cli.lookup_json import lookup_json
from consumer.cli.lookup_page import page
from consumer.cli.lookup_sources import Source, Sources
from consumer.cli.start import settings_or_exit
from consumer.core.exit_code import ExitCode
from consumer.core.found import DeadSeen, Known, Line, dead_seen
from consumer.core.places import Looked
from consumer.core.story import Story, story
from consumer.ledger.opening import LedgerUnusable
from consumer.ledger.reading import open_reader
from consumer.ledger.store import LedgerTrouble
from consumer.ops.archive_search import search
from consumer.settings import Settings

MessageId = Annotated[str, typer.Argument(help="As the app published it, or the library made it.")]
Login = Annotated[
    str | None, typer.Option(help="Of the app, where several have used this id; faster on Redis.")
]
AsJSON = Annotated[bool, typer.Option("--json", help="For scripts: one JSON object.")]
Addresses = Annotated[
    bool, typer.Option("--addresses", help="Show addresses and relays' words as they are.")
]


def lookup(
    message_id: MessageId,
    *,
    login: Login = None,
    as_json: AsJSON = False,
    addresses: Addresses = False,
) -> None:
    """Show what became of a message, and where it is now.

    Exits with 1 if there is no trace of it. Looks into the ledger, the dead letters and the log's
    archive of this host (HOPMAIL_LOG_DIR), which tells attempts and times, and changes nothing.
    Where they are is read from this shell's settings, which must be the workers'. Lanes and retry
    queues are not looked into: what waits there is inferred, and marked so.
    """
    _refuse_no_id(message_id)
    # A person reads our own lines; what was logged on the way says them again.
    logging.getLogger().addHandler(logging.NullHandler())
    found, sources = _look(settings_or_exit(), message_id, login)
    if as_json:
        typer.echo(json.dumps(lookup_json(found, sources, addresses=addresses), indent=2))
    else:
        console = Console(highlight=False, emoji=False, markup=False)
        console.print(page(found, sources, addresses=addresses), crop=False, soft_wrap=True)
    raise typer.Exit(ExitCode.OK if found.is_found else ExitCode.FAILED)


def _refuse_no_id(message_id: str) -> None:
    try:
        has_octets = bool(message_id.encode())
    except UnicodeEncodeError:
        has_octets = False
    if not has_octets:
        raise typer.BadParameter("a message id is a text in UTF-8, and no empty one")


def _look(settings: Settings, message_id: str, login: str | None) -> tuple[Story, Sources]:
    # In the order in which a mail gets there, against it: what moves meanwhile is not missed.
    lines, of_log = _log(settings, message_id)
    known, of_ledger = _ledger(settings, message_id, login)
    dead, of_dead = _dead(settings, message_id)
    looked = Looked(datetime.now(UTC), of_dead.is_read, settings.retry_delays[0])
    found = story(message_id, known=known, dead=dead, lines=lines, looked=looked, login=login)
    return found, Sources(of_ledger, of_dead, of_log)


def _log(settings: Settings, message_id: str) -> tuple[Sequence[Line], Source]:
    if settings.log_dir is None:
        return (), Source("HOPMAIL_LOG_DIR is none: attempts and their times are not known")
    try:
        found = search(settings.log_dir, message_id)
    except OSError as error:
        return (), Source(f"{settings.log_dir}: {error.strerror}")
    told = list(found.troubles)
    if found.left_out:
        told.append(f"{found.left_out} earlier lines are left out")
    return found.lines, Source("; ".join(told), is_read=True)


def _ledger(
    settings: Settings, message_id: str, login: str | None
) -> tuple[Sequence[Known], Source]:
    try:
        reader = open_reader(settings.ledger, settings.ledger_retention)
        if reader is None:
            return (), Source("HOPMAIL_LEDGER_URL is none")
        with closing(reader):
            return reader.known(message_id, login), Source(is_read=True)
    except (LedgerTrouble, LedgerUnusable) as trouble:
        return (), Source(str(trouble))


def _dead(settings: Settings, message_id: str) -> tuple[Sequence[DeadSeen], Source]:
    now = datetime.now(UTC)
    try:
        with dead_letters(settings.amqp_urls) as queue:
            found = queue.find(lambda each: each.properties.message_id == message_id)
            seen = [dead_seen(each, settings.trusted_logins, now) for each in found]
    except BrokerUnavailable as error:
        return (), Source(f"broker {error}")
    except InOtherHands:
        return (), Source("somebody else holds the dead letters")
    return seen, Source(is_read=True)
