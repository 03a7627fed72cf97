"""`hopmail deadletters edit`: mend a dead letter, and have what was mended sent."""

import json
import os
import shlex
import subprocess
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from consumer.amqp.properties import copy_properties
from consumer.cli.dead_body import BodyWithheld, body_of
from consumer.cli.deadletters.choose import YesOption, chosen
from consumer.cli.deadletters.hands import (
    CLOSE_SECONDS,
    CONFIRM_SECONDS,
    ask,
    count,
    fail,
    opened,
)
from consumer.cli.deadletters.wording import plain
from consumer.cli.start import settings_or_exit
from consumer.core.contract import parse
from consumer.core.dead_letter import identity, read_dead_letter, trail_of
from consumer.core.dead_letter_edit import NobodyLeft, edited_copy, edited_properties, with_fields
from consumer.core.death import reason_of
from consumer.core.delivery import Delivery
from consumer.core.disposition import Reason
from consumer.core.outcome import Undecodable
from consumer.core.trail import PENDING
from consumer.settings import Settings
from publisher_lib.confirms import ConfirmedPublisher
from publisher_lib.message import Email

EDITORS: Final = ("VISUAL", "EDITOR")


def edit(
    dead_letter: Annotated[str, typer.Argument(metavar="ID", help="Its message id, or its own.")],
    *,
    fields: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="FIELD=VALUE of the body, as text or JSON; `FIELD=` removes it."
        ),
    ] = None,
    from_file: Annotated[
        Path | None, typer.Option("--from-file", help="Take the whole body from a file.")
    ] = None,
    yes: YesOption = False,
) -> None:
    """Mend a dead letter's body in $EDITOR, by --set or --from-file, and send it under a new id.

    The copy is your login's own message, for those who have not got it yet. Once the broker has it,
    the dead letter is gone.
    """
    if fields and from_file:
        raise typer.BadParameter("say either --set or --from-file")
    settings = settings_or_exit()
    original = _the_one(settings, dead_letter)
    try:
        before = body_of(original, settings)
    except BodyWithheld as withheld:
        fail(str(withheld))
    body = _edited(before, fields or [], from_file)
    if body == before:
        fail("nothing was changed: to send it as it is, `replay` it")
    email = _valid(body)
    now = datetime.now(UTC)
    # What a stranger claims can only leave somebody out.
    trail = trail_of(original, settings.trusted_logins, now, believe=True)
    try:
        copy = edited_copy(original, before, email, replace(trail, login=settings.login), now)
    except NobodyLeft:
        fail("everybody it is addressed to has got it already")
    recipients = copy.headers.get(PENDING) or email.recipients
    if reason_of(original) == Reason.IN_DOUBT:
        typer.echo("  it is in doubt: the relay may have it as it was; `resolve` settles that")
    ask(f"Send it to {count(len(recipients), 'recipient')}, and remove the dead letter?", yes=yes)
    properties = edited_properties(original, now)
    new = replace(original, properties=properties, body=body)
    publisher = ConfirmedPublisher(settings.amqp_urls, name="hopmail deadletters")
    try:
        with opened(settings) as queue:
            found = queue.find(lambda each: identity(each) == identity(original))
            if not found:
                fail("it is gone meanwhile: nothing was sent")
            signed = copy_properties(new, copy, settings.login)
            publisher.submit(
                copy.exchange, copy.routing_key, signed, body, CONFIRM_SECONDS
            ).result()
            for each in found:
                queue.ack(each)
    finally:
        publisher.close(CLOSE_SECONDS)
    typer.echo(f"✓ given to the lane {copy.routing_key} as {properties.message_id}")
    known_as = plain(original.properties.message_id or "a message without id")
    typer.echo(f"  dead letter {identity(original)} of {known_as} is resolved")


def _the_one(settings: Settings, wanted: str) -> Delivery:
    choice, now = chosen([wanted]), datetime.now(UTC)

    def is_meant(delivery: Delivery) -> bool:
        return choice.means(read_dead_letter(delivery, settings.trusted_logins, now), now)

    with opened(settings) as queue:
        found = queue.find(is_meant)
    ids = sorted({identity(each) for each in found})
    if not found:
        fail(f"no dead letter has the id {wanted}: see `list`")
    if len(ids) > 1:
        fail(f"that message left {len(ids)} dead letters: name one of {', '.join(ids)}")
    return found[0]


def _edited(before: bytes, fields: list[str], from_file: Path | None) -> bytes:
    if from_file is not None:
        try:
            return from_file.read_bytes()
        except OSError as error:
            fail(f"{from_file} cannot be read: {error.strerror}")
    if not fields:
        return _in_editor(before)
    try:
        return with_fields(before, fields)
    except ValueError as error:
        fail(str(error))


def _in_editor(before: bytes) -> bytes:
    editor = next((os.environ[name] for name in EDITORS if os.environ.get(name)), None)
    if editor is None:
        fail("set EDITOR to your editor, or say --set FIELD=VALUE or --from-file FILE")
    # Only its owner can read it: a body may hold secrets.
    handle, name = tempfile.mkstemp(prefix="hopmail-", suffix=".json")
    path = Path(name)
    try:
        os.write(handle, _pretty(before))
        os.close(handle)
        shown = path.read_bytes()
        try:
            ended = subprocess.run([*shlex.split(editor), name], check=False)  # noqa: S603 - theirs
        except OSError as error:
            fail(f"{editor!r} cannot be started: {error.strerror}")
        if ended.returncode:
            fail(f"{editor!r} ended with {ended.returncode}: nothing was sent")
        after = path.read_bytes()
        if after == shown:
            return before
        if isinstance(parse(after), Undecodable):
            kept, path = path, Path(os.devnull)
            typer.echo(f"  what you wrote is in {kept}: mend it, and say --from-file", err=True)
        return after
    finally:
        if path != Path(os.devnull):
            path.unlink()


def _pretty(body: bytes) -> bytes:
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False).encode() + b"\n"
    except (ValueError, RecursionError):
        return body


def _valid(body: bytes) -> Email:
    email = parse(body)
    if isinstance(email, Undecodable):
        for violation in email.violations:
            told = f"{violation.pointer or 'the body'} {violation.message}"
            typer.echo(f"✗ {plain(told, None)}", err=True)
        fail("it is no email of the contract: nothing was sent")
    return email
