"""`hopmail status`: whether mail flows, how late it is, and what stands in its way."""

import json
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from rich.console import Console, RenderableType
from rich.live import Live

from consumer.amqp import queue_sampler
from consumer.amqp.connection import BrokerUnavailable
from consumer.cli.cautions import cautions
from consumer.cli.start import settings_or_exit
from consumer.cli.status_json import status_json
from consumer.cli.status_page import page
from consumer.core.exit_code import ExitCode
from consumer.core.obstacles import obstacles
from consumer.core.paused import Paused
from consumer.core.status import QueueSeen, Status
from consumer.core.waiting import places
from consumer.ops.asked import Damaged
from consumer.ops.control import Control
from consumer.ops.worker_files import WorkerFile, oldest_by_queue, read_files, seen
from consumer.settings import Settings
from publisher_lib.routing import Lane

AGAIN_SECONDS: Final = 2.0
LONGEST_LINE: Final = 10_000

Watch = Annotated[bool, typer.Option("--watch", help="Look again and again, until Ctrl-C.")]
AsJSON = Annotated[bool, typer.Option("--json", help="For scripts: one JSON object.")]
Workers = Annotated[
    bool,
    typer.Option(
        "--workers",
        help="Judge by this host's workers alone, not by broker and relay: for who restarts them.",
    ),
]


def status(*, watch: Watch = False, as_json: AsJSON = False, workers: Workers = False) -> None:
    """Show whether mail flows, and what stands in its way.

    Exit 1 if it does not; that it is paused is said, and is no failure. The queues are asked of
    the broker. The rest is what the workers of this host wrote into HOPMAIL_METRICS_DIR within
    the last seconds. `oldest` is what waits, or is held, at most so long; ?: that is not known
    yet.
    """
    if watch + as_json + workers > 1:
        raise typer.BadParameter("--watch, --json and --workers do not go together")
    settings = settings_or_exit()
    folder = settings.metrics_dir
    if folder is None:
        typer.echo("✗ HOPMAIL_METRICS_DIR is `none`, so nothing is known of the workers", err=True)
        raise typer.Exit(ExitCode.CONFIG)
    if workers:
        raise typer.Exit(_judge_workers(_read(folder)))
    if watch:
        _watch(lambda: page(_look(settings, folder)))
    found = _look(settings, folder)
    if as_json:
        typer.echo(json.dumps(status_json(found), indent=2))
    else:
        _console().print(page(found), crop=False)
    raise typer.Exit(ExitCode.FAILED if obstacles(found) else ExitCode.OK)


def _watch(look: Callable[[], RenderableType]) -> None:
    console = _console()
    if not console.is_terminal:
        _print_again(look, console)
    with suppress(KeyboardInterrupt), Live(look(), console=console) as live:
        while True:
            time.sleep(AGAIN_SECONDS)
            live.update(look())
    raise typer.Exit(ExitCode.OK)


def _print_again(look: Callable[[], RenderableType], console: Console) -> NoReturn:
    with suppress(KeyboardInterrupt):
        while True:
            console.print(look(), "", crop=False)
            console.file.flush()
            time.sleep(AGAIN_SECONDS)
    raise typer.Exit(ExitCode.OK)


def _console() -> Console:
    console = Console(highlight=False, emoji=False, markup=False)
    if not console.is_terminal:
        # Whoever reads it line by line gets each in one piece.
        console.width = LONGEST_LINE
    return console


def _judge_workers(files: tuple[WorkerFile, ...]) -> ExitCode:
    ours = tuple(each for each in map(seen, files) if each.host == socket.gethostname())
    found = Status(datetime.now(UTC), ours, relays=(), queues=())
    alive = len(found.alive)
    good = 0 < alive >= found.wanted
    typer.echo(f"{'✓' if good else '✗'} {alive} of {found.wanted or '?'} workers are alive")
    return ExitCode.OK if good else ExitCode.FAILED


def _look(settings: Settings, folder: Path) -> Status:
    files = _read(folder)
    queues, trouble = _queues(settings, files)
    paused, control_trouble = _paused(settings)
    return Status(
        now=datetime.now(UTC),
        workers=tuple(map(seen, files)),
        relays=tuple(relay.place for relay in settings.relays),
        queues=queues,
        broker_trouble=trouble,
        paused=paused,
        control_trouble=control_trouble,
        cautions=cautions(settings),
    )


def _paused(settings: Settings) -> tuple[Mapping[Lane, Paused], str]:
    # A state folder that this user may not read does not make the rest unknown.
    with suppress(OSError):
        try:
            return Control(settings.state_dir).read().paused, ""
        except Damaged as error:
            return {}, str(error)
    return {}, ""


def _read(folder: Path) -> tuple[WorkerFile, ...]:
    # Where there is none, no worker has begun.
    with suppress(OSError):
        return read_files(folder)
    return ()


def _queues(settings: Settings, files: tuple[WorkerFile, ...]) -> tuple[tuple[QueueSeen, ...], str]:
    wanted, oldest = places(settings.retry_delays), oldest_by_queue(files)
    try:
        counts = queue_sampler.look(settings.amqp_urls, [place.queue for place in wanted])
    except BrokerUnavailable as error:
        return (), str(error)
    return tuple(
        QueueSeen(place, counts[place.queue].messages, oldest.get(place.queue))
        for place in wanted
        if place.queue in counts
    ), ""
