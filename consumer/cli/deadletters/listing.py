"""`hopmail deadletters list`: what lies there, counted, and the newest of it."""

import json
from collections import deque
from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

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
from consumer.cli.deadletters.files import printed
from consumer.cli.deadletters.hands import count, letters, opened
from consumer.cli.deadletters.wording import age, plain
from consumer.cli.start import settings_or_exit
from consumer.core.dead_letter import DeadLetter
from consumer.core.dead_letter_choice import BY, Choice, Groups
from consumer.core.dead_letter_json import told
from consumer.settings import Settings

LONGEST_LINE: Final = 10_000

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


def _print_lines(settings: Settings, choice: Choice) -> None:
    with printed() as write, opened(settings) as queue:
        for letter in letters(queue, settings, choice):
            write(json.dumps(told(letter, datetime.now(UTC)), ensure_ascii=False))


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
    # Nothing is cut off: a narrow terminal goes on in its next line.
    console = Console(highlight=False, emoji=False, markup=False, width=LONGEST_LINE)
    console.print(Text(), _counted(groups, now), sep="\n", crop=False)
    if newest:
        last = f"the newest {len(newest)}:" if len(newest) < total else "one by one:"
        console.print(Text(f"\n{last}"), _one_by_one(newest, now), sep="\n", crop=False)


def _counted(groups: Groups, now: datetime) -> Table:
    table = _table(*groups.by)
    table.add_column("count", justify="right", no_wrap=True)
    table.add_column("oldest", justify="right", no_wrap=True)
    for group, number in groups.counts.most_common():
        table.add_row(*map(plain, group), str(number), age(groups.oldest.get(group), now))
    return table


def _one_by_one(newest: deque[DeadLetter], now: datetime) -> Table:
    table = _table("id", "age", "reason", "message id", "to", "lane")
    for letter in newest:
        table.add_row(
            letter.id,
            age(letter.died_at, now),
            letter.reason if letter.is_trusted else f"{letter.reason} (not trusted)",
            plain(letter.message_id or "-", None),
            plain(_to(letter)),
            str(letter.lane),
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
