"""`hopmail deadletters show`: all that is known of a dead letter."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import typer

from consumer.cli.dead_body import BodyWithheld, body_of
from consumer.cli.deadletters.choose import JSONOption, chosen
from consumer.cli.deadletters.hands import count, fail, opened
from consumer.cli.deadletters.wording import age, plain, plain_lines
from consumer.cli.start import settings_or_exit
from consumer.core.dead_body import BodyState
from consumer.core.dead_letter import DeadLetter, read_dead_letter
from consumer.core.dead_letter_json import body_members, told
from consumer.core.delivery import Delivery
from consumer.settings import Settings


def show(
    ids: Annotated[list[str], typer.Argument(help="Message ids, or dead letters' own.")],
    *,
    body: Annotated[
        bool, typer.Option("--body", help="Its body too: it may hold secrets.")
    ] = False,
    as_json: JSONOption = False,
) -> None:
    """Show all that is known of dead letters: reason, reply, attempts, times, recipients.

    The queue stays as it is.
    """
    settings, choice, now = settings_or_exit(), chosen(ids), datetime.now(UTC)

    def look(delivery: Delivery) -> tuple[DeadLetter, Delivery] | None:
        letter = read_dead_letter(delivery, settings.trusted_logins, now)
        return (letter, delivery) if choice.means(letter, now) else None

    with opened(settings) as queue:
        found = list(queue.each(look))
    if not found:
        fail(f"no dead letter has the id {' or '.join(sorted(choice.ids))}: see `list`")
    if as_json:
        shown = [
            told(letter, now) | (_body(each, settings) if body else {}) for letter, each in found
        ]
        typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    for number, (letter, delivery) in enumerate(found):
        if number:
            typer.echo()
        for line in _lines(letter, now):
            typer.echo(line)
        if body:
            members = _body(delivery, settings)
            typer.echo(f"\n{plain_lines(next(iter(members.values())))}")


def _body(delivery: Delivery, settings: Settings) -> dict[str, str]:
    try:
        return body_members(body_of(delivery, settings))
    except BodyWithheld as withheld:
        return {"body_unavailable": str(withheld)}


def _lines(letter: DeadLetter, now: datetime) -> Iterator[str]:
    known: list[tuple[str, str]] = [
        ("id", letter.id),
        ("message id", letter.message_id or "none"),
        ("reason", letter.reason),
        *(("", sentence) for sentence in letter.told),
        ("dead since", _moment(letter.died_at, now)),
        ("published", _moment(letter.published_at, now)),
        ("by", f"login {letter.login!r}" + (f", app {letter.app_id!r}" if letter.app_id else "")),
        ("lane", str(letter.lane)),
        ("attempt", str(letter.attempt)),
        ("replayed", count(letter.replayed, "time") if letter.replayed else ""),
        ("owed to", ", ".join(letter.recipients) or "nobody knows: no recipient can be read"),
        ("size", f"{letter.size} bytes"),
        ("body", letter.body.value if letter.body is not BodyState.KEPT else ""),
        ("trace", letter.traceparent or ""),
        *(("moved by RabbitMQ", f"{where}, {times}×") for where, times in letter.deaths.items()),
        ("not trusted", "" if letter.is_trusted else f"signed by {_signer(letter)}"),
    ]
    for name, value in known:
        if value:
            yield f"{name:<18}{plain(value, None)}"


def _moment(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return "unknown"
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC, {age(moment, now)} ago"


def _signer(letter: DeadLetter) -> str:
    return f"the login {letter.signer!r}" if letter.signer else "no login"
