"""`hopmail deadletters list` and `show`: what lies there, and why."""

import json
import shutil
import sys
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from tempfile import SpooledTemporaryFile
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from consumer.cli.dead_body import BodyWithheld, body_of
from consumer.cli.deadletters.choose import (
    DomainOption,
    IDs,
    JSONOption,
    LaneOption,
    LoginOption,
    OlderOption,
    ReasonOption,
    chosen,
)
from consumer.cli.deadletters.hands import count, fail, letters, opened
from consumer.cli.start import settings_or_exit
from consumer.core.dead_body import BodyState
from consumer.core.dead_letter import DeadLetter, read_dead_letter
from consumer.core.dead_letter_choice import BY, Choice, Groups
from consumer.core.dead_letter_json import body_members, told
from consumer.core.delivery import Delivery
from consumer.core.durations import spell_duration
from consumer.settings import Settings

SPOOL_BYTES: Final = 8 * 1024 * 1024
LONGEST_SHOWN: Final = 60

ByOption = Annotated[
    str, typer.Option("--by", help=f"Count by some of {', '.join(BY)}, comma-separated.")
]
LimitOption = Annotated[
    int, typer.Option("--limit", min=0, help="So many of the newest are shown one by one.")
]


def list_(
    ids: IDs = None,
    *,
    reasons: ReasonOption = None,
    lanes: LaneOption = None,
    domains: DomainOption = None,
    logins: LoginOption = None,
    older_than: OlderOption = None,
    by: ByOption = "reason,lane",
    limit: LimitOption = 10,
    as_json: JSONOption = False,
) -> None:
    """Count dead letters by reason and lane, and show the newest; --json: a line for each.

    The queue stays as it is.
    """
    wanted = tuple(name.strip() for name in by.split(","))
    if unknown := [name for name in wanted if name not in BY]:
        raise typer.BadParameter(f"--by {unknown[0]!r} is none of {', '.join(BY)}")
    choice = chosen(
        ids,
        reasons=reasons,
        lanes=lanes,
        domains=domains,
        logins=logins,
        older_than=older_than,
    )
    settings = settings_or_exit()
    if as_json:
        _print_lines(settings, choice)
    else:
        _print_page(settings, choice, wanted, limit)


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
            (text,) = members.values()
            typer.echo(f"\n{_plain(text) if sys.stdout.isatty() else text}")


def _body(delivery: Delivery, settings: Settings) -> dict[str, str]:
    try:
        return body_members(body_of(delivery, settings))
    except BodyWithheld as withheld:
        return {"body_unavailable": str(withheld)}


def _print_lines(settings: Settings, choice: Choice) -> None:
    # Whoever reads them may take his time: the queue is not held meanwhile, nor all in memory.
    with SpooledTemporaryFile(SPOOL_BYTES, "w+", encoding="utf-8") as spool:
        with opened(settings) as queue:
            for letter in letters(queue, settings, choice):
                line = json.dumps(told(letter, datetime.now(UTC)), ensure_ascii=False)
                spool.write(f"{line}\n")
        spool.seek(0)
        shutil.copyfileobj(spool, sys.stdout)


def _print_page(settings: Settings, choice: Choice, by: tuple[str, ...], limit: int) -> None:
    now = datetime.now(UTC)
    groups, total, newest = Groups(by), 0, deque[DeadLetter](maxlen=limit)
    with opened(settings) as queue:
        for letter in letters(queue, settings, choice):
            total += 1
            groups.add(letter, now)
            newest.append(letter)
        there = queue.count
    of_all = "" if choice.is_open else f" of {there}"
    typer.echo(f"{count(total)}{of_all}")
    if not total:
        return
    console = Console(highlight=False, emoji=False, markup=False)
    console.print(Text(), _counted(groups, now), sep="\n", crop=False)
    if newest:
        last = f"the newest {len(newest)}:" if len(newest) < total else "one by one:"
        console.print(Text(f"\n{last}"), _one_by_one(newest, now), sep="\n", crop=False)


def _counted(groups: Groups, now: datetime) -> Table:
    table = _table(*groups.by)
    table.add_column("count", justify="right", no_wrap=True)
    table.add_column("oldest", justify="right", no_wrap=True)
    for group, number in groups.counts.most_common():
        table.add_row(*map(_safe, group), str(number), _age(groups.oldest.get(group), now))
    return table


def _one_by_one(newest: deque[DeadLetter], now: datetime) -> Table:
    table = _table("id", "age", "reason", "lane", "to", "message id")
    for letter in newest:
        table.add_row(
            letter.id,
            _age(letter.died_at, now),
            letter.reason,
            str(letter.lane),
            _safe(_to(letter)),
            _safe(letter.message_id or "-"),
        )
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _to(letter: DeadLetter) -> str:
    first, *others = letter.domains or ("-",)
    return f"{len(letter.recipients)} at {first}{f' +{len(others)}' if others else ''}"


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
            yield f"{name:<18}{_safe(value, None)}"


def _moment(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return "unknown"
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC, {_age(moment, now)} ago"


def _age(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return "?"
    age = now - moment
    unit = timedelta(minutes=1) if age >= timedelta(hours=1) else timedelta(seconds=1)
    return spell_duration(age // unit * unit)


def _safe(text: str, most: int | None = LONGEST_SHOWN) -> str:
    """Return what a stranger wrote without what moves a terminal's cursor."""
    plain = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
    return plain if most is None or len(plain) <= most else f"{plain[: most - 1]}…"


def _plain(text: str) -> str:
    """Return a body for a terminal: line by line, as safe as what stands above it."""
    return "\n".join(_safe(line, None) for line in text.expandtabs().splitlines())


def _signer(letter: DeadLetter) -> str:
    return f"the login {letter.signer!r}" if letter.signer else "no login"
