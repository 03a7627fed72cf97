"""`hopmail drain`: pause, and wait until no worker has a mail in hands."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from consumer.cli.asking import asking, fail
from consumer.cli.pause import By, Lanes, asked_or_refused, pause_and_tell
from consumer.cli.start import settings_or_exit
from consumer.core.drained import awaited
from consumer.core.durations import parse_duration
from consumer.core.exit_code import ExitCode
from consumer.ops.worker_hands import hands
from consumer.settings import Settings
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
    until = pause_and_tell(settings, asked)
    left = _wait(settings, settings.metrics_dir, lanes, time.monotonic() + seconds)
    if left:
        fail(f"after {limit}: {left}; it stays paused, until `{until}`")
    typer.echo("✓ nothing is in hands")


def _wait(settings: Settings, folder: Path, lanes: tuple[Lane, ...], until: float) -> str:
    """Wait, telling of each change; return what is still awaited, empty for nothing."""
    since, shown = datetime.now(UTC), ""
    while told := awaited(list(hands(folder, lanes, since))):
        _refuse_resumed(settings, lanes)
        if time.monotonic() > until:
            return told
        if told != shown:
            typer.echo(f"  {told}")
        shown = told
        time.sleep(LOOK_SECONDS)
    return ""


def _refuse_resumed(settings: Settings, lanes: tuple[Lane, ...]) -> None:
    with asking(settings) as control:
        paused = control.read().paused
    if resumed := [lane for lane in lanes if lane not in paused]:
        fail(f"no longer paused: {' and '.join(resumed)}; somebody ran `hopmail resume`")
