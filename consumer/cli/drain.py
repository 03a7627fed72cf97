"""`hopmail drain`: pause, and wait until no worker has a mail in hands."""

import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from consumer.cli.asking import asking, fail
from consumer.cli.pause import RESUME, By, Lanes, asked_or_refused
from consumer.cli.start import settings_or_exit
from consumer.core.drained import Hands, awaited, has_obeyed
from consumer.core.durations import parse_duration
from consumer.core.exit_code import ExitCode
from consumer.core.status import SILENT
from consumer.ops.worker_files import WorkerFile, read_files, seen
from publisher_lib.routing import Lane

LOOK_SECONDS: Final = 0.5
REASON: Final = "drained for a deploy"


def drain(
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why, for whoever finds it.")] = REASON,
    lane: Lanes = None,
    by: By = "",
    limit: Annotated[
        str, typer.Option("--limit", metavar="DURATION", help="How long to wait at most.")
    ] = "2m",
) -> None:
    """Pause, and wait until no worker has mail in hands.

    For a calm deploy: then no process of this host ends with a mail half sent. Exit 1 at the
    limit. It stays paused, across the restart too, until `hopmail resume`. Workers tell of their
    hands every 5 seconds.
    """
    lanes = tuple(lane or Lane)
    asked = asked_or_refused(lanes, reason, by)
    try:
        seconds = parse_duration(limit).total_seconds()
    except ValueError as error:
        raise typer.BadParameter(f"--limit: {error}") from None
    settings = settings_or_exit()
    if settings.metrics_dir is None:
        typer.echo(
            "✗ HOPMAIL_METRICS_DIR is `none`, so nobody knows what workers have in hands;"
            " use `hopmail pause`, and SIGTERM to `hopmail run` finishes what is begun",
            err=True,
        )
        raise typer.Exit(ExitCode.CONFIG)
    with asking(settings) as control:
        control.pause(asked)
    typer.echo(f"✓ {' and '.join(lanes)} paused, until `{RESUME}`")
    left = _wait(settings.metrics_dir, lanes, time.monotonic() + seconds)
    if left:
        fail(f"after {limit}: {left}; it stays paused, until `{RESUME}`")
    typer.echo("✓ nothing is in hands")


def _wait(folder: Path, lanes: tuple[Lane, ...], until: float) -> str:
    """Wait, telling of each change; return what is still awaited, empty for nothing."""
    since, shown = datetime.now(UTC), ""
    while told := awaited(list(_hands(folder, lanes, since))):
        if time.monotonic() > until:
            return told
        if told != shown:
            typer.echo(f"  {told}")
        shown = told
        time.sleep(LOOK_SECONDS)
    return ""


def _hands(folder: Path, lanes: tuple[Lane, ...], since: datetime) -> Iterator[Hands]:
    # Where there is none, no worker has begun.
    with suppress(OSError):
        for file in read_files(folder):
            worker = seen(file)
            if abs(datetime.now(UTC) - worker.heartbeat) < SILENT:
                yield Hands(
                    worker.name,
                    _in_hands(file, lanes),
                    has_obeyed=has_obeyed(worker, since) and _are_paused(file, lanes),
                )


def _in_hands(file: WorkerFile, lanes: tuple[Lane, ...]) -> int:
    by_lane = file.by("lane", "hopmail_in_flight")
    return int(sum(by_lane.get(lane, 0.0) for lane in lanes))


def _are_paused(file: WorkerFile, lanes: tuple[Lane, ...]) -> bool:
    # One that waits for its ledger takes none, and does not tell of lanes yet.
    takes_mail = bool(file.samples("hopmail_in_flight"))
    return not takes_mail or set(lanes) <= set(file.by("lane", "hopmail_lane_paused"))
