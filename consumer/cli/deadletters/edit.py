"""`hopmail deadletters edit`: mend a dead letter, and have what was mended sent."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from consumer.amqp.properties import copy_properties
from consumer.cli.dead_body import BodyWithheld, body_of
from consumer.cli.deadletters.choose import JSONOption, YesOption, chosen
from consumer.cli.deadletters.editor import in_editor
from consumer.cli.deadletters.hands import (
    CLOSE_SECONDS,
    CONFIRM_SECONDS,
    ask,
    count,
    fail,
    opened,
    tell,
)
from consumer.cli.deadletters.wording import plain
from consumer.cli.start import settings_or_exit
from consumer.core.contract import parse
from consumer.core.dead_letter import identity, read_dead_letter, trail_of
from consumer.core.dead_letter_edit import NobodyLeft, edited_copy, edited_properties, with_fields
from consumer.core.death import reason_of
from consumer.core.delivery import Delivery
from consumer.core.disposition import Reason
from consumer.core.handled import Followup
from consumer.core.outcome import Undecodable
from consumer.core.trail import PENDING
from consumer.settings import Settings
from publisher_lib.confirms import ConfirmedPublisher
from publisher_lib.message import Email


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
    as_json: JSONOption = False,
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
    with _edited(before, fields or [], from_file) as body:
        if body == before:
            fail("nothing was changed: to send it as it is, `replay` it")
        _send_mended(settings, original, before, body, yes=yes, as_json=as_json)


def _send_mended(
    settings: Settings, original: Delivery, before: bytes, body: bytes, *, yes: bool, as_json: bool
) -> None:
    now = datetime.now(UTC)
    copy = _copy(settings, original, before, body, now)
    if reason_of(original) == Reason.IN_DOUBT:
        doubt = "  it is in doubt: the relay may have it as it was; `resolve` settles that"
        typer.echo(doubt, err=as_json)
    to = count(len(copy.headers.get(PENDING) or _valid(body).recipients), "recipient")
    ask(f"Send it to {to}, and remove the dead letter?", yes=yes, as_json=as_json)
    new = replace(original, properties=edited_properties(original, now), body=body)
    _put_in_its_place(settings, original, new, copy)
    known_as = plain(original.properties.message_id or "a message without id")
    made, resolved = new.properties.message_id, identity(original)
    words = f"✓ given to the lane {copy.routing_key} as {made}"
    words += f"\n  dead letter {resolved} of {known_as} is resolved"
    tell(words, as_json=as_json, message_id=made, lane=copy.routing_key, resolved=resolved)


def _copy(
    settings: Settings, original: Delivery, before: bytes, body: bytes, now: datetime
) -> Followup:
    # What a stranger claims can only leave somebody out.
    trail = trail_of(original, settings.trusted_logins, now, believe=True)
    try:
        return edited_copy(
            original, before, _valid(body), replace(trail, login=settings.login), now
        )
    except NobodyLeft:
        fail("everybody it is addressed to has got it already")


def _put_in_its_place(
    settings: Settings, original: Delivery, new: Delivery, copy: Followup
) -> None:
    publisher = ConfirmedPublisher(settings.amqp_urls, name="hopmail deadletters")
    try:
        with opened(settings) as queue:
            found = queue.find(lambda each: identity(each) == identity(original))
            if not found:
                fail("it is gone meanwhile: nothing was sent")
            signed = copy_properties(new, copy, settings.login)
            publisher.submit(
                copy.exchange, copy.routing_key, signed, new.body, CONFIRM_SECONDS
            ).result()
            for each in found:
                queue.ack(each)
    finally:
        publisher.close(CLOSE_SECONDS)


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


@contextmanager
def _edited(before: bytes, fields: list[str], from_file: Path | None) -> Iterator[bytes]:
    if from_file is None and not fields:
        with in_editor(before) as body:
            yield body
    else:
        yield _given(before, fields, from_file)


def _given(before: bytes, fields: list[str], from_file: Path | None) -> bytes:
    try:
        return with_fields(before, fields) if from_file is None else from_file.read_bytes()
    except OSError as error:
        fail(f"{from_file} cannot be read: {error.strerror}")
    except ValueError as error:
        fail(str(error))


def _valid(body: bytes) -> Email:
    email = parse(body)
    if isinstance(email, Undecodable):
        for violation in email.violations:
            told = f"{violation.pointer or 'the body'} {violation.message}"
            typer.echo(f"✗ {plain(told, None)}", err=True)
        fail("it is no email of the contract: nothing was sent")
    return email
