"""What the commands on dead letters share: the queue, opened, and what is said of it."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import Final, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from consumer.amqp.connection import BrokerUnavailable
from consumer.amqp.dead_letters import LOOKING, DeadLetters, Stopped, dead_letters
from consumer.amqp.hold import InOtherHands
from consumer.core.dead_letter import DeadLetter, read_dead_letter
from consumer.core.dead_letter_choice import Agreed, Choice
from consumer.core.delivery import Delivery
from consumer.core.exit_code import ExitCode
from consumer.settings import Settings
from publisher_lib.errors import PublishError

CONFIRM_SECONDS: Final = 30.0
CLOSE_SECONDS: Final = 5.0


def fail(line: str) -> NoReturn:
    """Say what went wrong, and its cure, and exit with 1."""
    typer.echo(f"✗ {line}", err=True)
    raise typer.Exit(ExitCode.FAILED) from None


@contextmanager
def opened(settings: Settings, piece: int = LOOKING) -> Iterator[DeadLetters]:
    """Open the dead letters for the length of a block; exit with a line where that fails.

    Ctrl-C and SIGTERM end a look through them between two, so that their order stays.
    """
    try:
        with dead_letters(settings.amqp_urls, piece) as queue, stoppable() as is_stopped:
            queue.is_stopped = is_stopped
            yield queue
        if queue.unseen:
            told = f"{queue.unseen} of {count(queue.count)} were not seen"
            typer.echo(f"  {told}: another program has them in hands", err=True)
    except Stopped:
        raise KeyboardInterrupt from None
    except BrokerUnavailable as error:
        fail(f"broker: {error}")
    except InOtherHands as error:
        fail(str(error))
    except PublishError as error:
        fail(f"not published: {error}; the dead letter is untouched")


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Show how far work has come, on a terminal alone; what is yielded counts one."""
    console = Console(stderr=True, highlight=False)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not sys.stderr.isatty()
    ) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


def letters(queue: DeadLetters, settings: Settings, choice: Choice) -> Iterator[DeadLetter]:
    """Look through the queue for what is meant; bodies are let go of."""
    now = datetime.now(UTC)

    with progress("looking", queue.count) as step:

        def look(delivery: Delivery) -> DeadLetter | None:
            step()
            letter = read_dead_letter(delivery, settings.trusted_logins, now)
            return letter if choice.means(letter, now) else None

        yield from queue.each(look)


def agreed_ones(queue: DeadLetters, settings: Settings, agreed: Agreed) -> Iterator[Delivery]:
    """Yield those that were shown, and nothing that came since."""
    now = datetime.now(UTC)

    def look(delivery: Delivery) -> tuple[Delivery, DeadLetter] | None:
        letter = read_dead_letter(delivery, settings.trusted_logins, now)
        return (delivery, letter) if agreed.has(letter) else None

    for delivery, letter in queue.each(look):
        if agreed.take(letter):
            yield delivery


def leave_if_none(total: int, choice: Choice, *, as_json: bool, **facts: object) -> None:
    """Exit if no dead letter is meant: with 1 if one was named, which then is not there."""
    if total:
        return
    if choice.ids:
        fail(f"no dead letter has the id {' or '.join(sorted(choice.ids))}: see `list`")
    tell("✓ no dead letter matches: nothing to do", as_json=as_json, **facts)
    raise typer.Exit(ExitCode.OK)


def tell(words: str, *, as_json: bool, **facts: object) -> None:
    """Say what was done or would be: in words, if there are any, or as one JSON object."""
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False))
    elif words:
        typer.echo(words)


def ask(question: str, *, yes: bool, as_json: bool = False) -> None:
    """Exit with 1 unless the person agrees."""
    if yes:
        return
    if as_json:
        fail("--json asks nobody: say --yes too")
    if not sys.stdin.isatty():
        fail("nobody can be asked here: say --yes")
    if not typer.confirm(question):
        fail("nothing was done")


@contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Have Ctrl-C and SIGTERM end work at the next good moment; a second time at once.

    Yields what tells whether that was asked for.
    """
    asked: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def count(number: int, thing: str = "dead letter") -> str:
    """Return a number of things, in words."""
    return f"{number} {thing}{'' if number == 1 else 's'}"
