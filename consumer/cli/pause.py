"""`hopmail pause` and `hopmail resume`: no mail of a lane is taken, until somebody says so."""

import getpass
import os
import socket
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from consumer.cli.asking import asking
from consumer.cli.start import settings_or_exit
from consumer.core.durations import spell_duration
from consumer.core.paused import Paused, check_reason
from consumer.settings import Settings
from publisher_lib.routing import Lane

Lanes = Annotated[
    list[Lane] | None,
    typer.Option("--lane", help="This lane only; may be given twice. Without it: both."),
]
By = Annotated[str, typer.Option("--by", help="Who asks; by default your login on this host.")]
RESUME: Final = "hopmail resume"


def whoever() -> str:
    """Return the login of who runs this command, also behind sudo, and the host."""
    login = os.environ.get("SUDO_USER")
    if not login:
        try:
            login = getpass.getuser()
        except (KeyError, OSError):
            # A container's user need not have a name.
            login = f"uid {os.getuid()}"
    return f"{login}@{socket.gethostname()}"


def pause(
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why, for whoever finds it paused.")],
    lane: Lanes = None,
    by: By = "",
) -> None:
    """Take no more mail on this host, until `hopmail resume`.

    What is being sent is finished, what waits in a worker goes back to the broker for other
    hosts; apps go on publishing. It holds within a second for all workers that share
    HOPMAIL_STATE_DIR, and outlives restarts and crashes. Mail that expires meanwhile expires.
    """
    asked = asked_or_refused(tuple(lane or Lane), reason, by)
    pause_and_tell(settings_or_exit(), asked)


def resume(*, lane: Lanes = None) -> None:
    """Take mail again, within a second.

    It ends what `hopmail pause` or `hopmail drain` has asked, and says what that was.
    """
    lanes = tuple(lane or Lane)
    settings = settings_or_exit()
    with asking(settings) as control:
        damage = control.damage
        before = control.resume(lanes)
    if damage:
        typer.echo(f"✓ control.json is mended: {damage}")
    for each in lanes:
        if each in before:
            typer.echo(f"✓ {each} is taken again; it was paused {told(before[each])}")
        else:
            typer.echo(f"✓ {each} {'is taken, if it was paused' if damage else 'was not paused'}")


def pause_and_tell(settings: Settings, asked: Mapping[Lane, Paused]) -> str:
    """Pause, and say so of each lane; return the command that ends what was not paused before."""
    with asking(settings) as control:
        before = control.pause(asked)
    for lane, paused in asked.items():
        if lane in before:
            typer.echo(f"✓ {lane} was paused before: {told(before[lane])}")
        else:
            typer.echo(f"✓ {lane} is paused: {paused.reason}")
    until = ending(asked.keys() - before)
    typer.echo(f"  until `{until}`; see `hopmail status`")
    return until


def ending(lanes: Collection[Lane]) -> str:
    """Return the command that resumes these lanes and no others, so far as there are any."""
    named = [f"--lane {lane}" for lane in Lane if lane in lanes]
    return " ".join([RESUME, *(named if len(named) < len(Lane) else ())])


def asked_or_refused(lanes: tuple[Lane, ...], reason: str, by: str) -> Mapping[Lane, Paused]:
    """Return what is to be asked; refuse a reason that says nothing."""
    try:
        paused = Paused(check_reason(by) if by else whoever(), check_reason(reason), _now())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return dict.fromkeys(lanes, paused)


def told(paused: Paused) -> str:
    """Say who, since when and why."""
    since = spell_duration(_now() - paused.since)
    return f"by {paused.by} {since} ago: {paused.reason}"


def _now() -> datetime:
    return datetime.now(UTC)
