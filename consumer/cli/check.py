"""`hopmail check`: whether settings, broker, topology, relays and ledger are as they should be."""

import os
from collections.abc import Iterator
from pathlib import Path
from stat import S_IXOTH
from tempfile import TemporaryDirectory
from typing import Final

import typer

from consumer.amqp import declare
from consumer.amqp.connection import BrokerUnavailable
from consumer.cli.cautions import cautions
from consumer.cli.dead_body import SealUnusable, sealer
from consumer.cli.start import settings_or_exit
from consumer.core.durations import format_duration
from consumer.core.exit_code import ExitCode
from consumer.core.topology import topology
from consumer.ledger.probe import probe
from consumer.settings import Settings, mask_urls
from consumer.smtp.member import relay_at

Line = tuple[bool | None, str]
"""Whether it is right, None where it may be, and what was seen."""

MARKS: Final = {True: "✓", False: "✗", None: "!"}


def check() -> None:
    """Verify settings, broker, topology, relays and ledger.

    A line each, with its cure; exit 1 if anything is wrong. A ledger is made where there is none.
    One that is there is only locked for a moment, and a folder made and removed beside it.
    """
    settings = settings_or_exit()
    lines: list[Line] = [(True, "settings: read")]
    typer.echo(_show(lines[0]))
    for line in _lines(settings):
        typer.echo(_show(line))
        lines.append(line)
    if any(good is False for good, _text in lines):
        raise typer.Exit(ExitCode.FAILED)


def _show(line: Line) -> str:
    good, text = line
    return f"{MARKS[good]} {text}"


def _lines(settings: Settings) -> Iterator[Line]:
    yield from _broker(settings)
    yield from _senders(settings)
    yield from _relays(settings)
    yield from _rates(settings)
    yield from ((None, f"not for production: {caution}") for caution in cautions(settings).values())
    for good, text, about in probe(settings.ledger, settings.state_dir):
        yield good, f"{about}: {text}"
    yield from _dead_bodies(settings)
    yield _metrics(settings.metrics_dir)
    yield _archive(settings)


def _broker(settings: Settings) -> Iterator[Line]:
    wanted = topology(settings.retry_delays)
    found: declare.Comparison | None = None
    for url in settings.amqp_urls:
        try:
            found = declare.compare((url,), wanted)
        except BrokerUnavailable as error:
            yield False, f"broker {error}; check HOPMAIL_AMQP_URL, and that it is RabbitMQ's"
        else:
            yield True, f"broker {mask_urls(url)}: login accepted"
    if found is not None:
        yield from _topology(found)


def _topology(found: declare.Comparison) -> Iterator[Line]:
    differences = found.differences
    if not differences and found.is_by_name_only:
        yield True, f"topology: every exchange and queue is there; {declare.UNSEEN}"
    elif not differences:
        yield True, "topology: every exchange and queue is right"
    missing = [difference for difference in differences if difference.is_absence]
    if missing:
        others = f" and {len(missing) - 1} more" if missing[1:] else ""
        cure = "run `hopmail topology apply`, or start the consumer, which makes them"
        yield False, f"topology: {missing[0].name}{others} missing; {cure}"
    for difference in differences:
        if not difference.is_absence:
            yield False, f"topology: {difference}"


def _senders(settings: Settings) -> Iterator[Line]:
    if settings.sender_policy is not None:
        count = len(settings.sender_policy.senders)
        yield True, f"sender policy: {count} login{'' if count == 1 else 's'}; no other may send"


def _relays(settings: Settings) -> Iterator[Line]:
    for url in settings.relays:
        name = f"relay {url.place}" if len(settings.relays) > 1 else "relay"
        for step in relay_at(url).probe().steps:
            cure = f"; {step.cure}" if step.cure else ""
            yield step.ok, f"{name} {step.name}: {step.detail}{cure}"


def _rates(settings: Settings) -> Iterator[Line]:
    folder = settings.state_dir
    if all(url.rate is None for url in settings.relays):
        return
    if folder.is_dir() and os.access(folder, os.W_OK):
        yield True, f"rates: kept in {folder}"
    else:
        yield False, f"rates: {folder} is no folder this user can write to; create it"


def _dead_bodies(settings: Settings) -> Iterator[Line]:
    if settings.deadletter_body == "encrypt":
        try:
            sealer(settings)
        except SealUnusable as unusable:
            yield False, f"dead letters: {unusable}"
        else:
            key = settings.deadletter_seal_key
            yield True, f"dead letters: sealed, opened by the key {key.id.hex() if key else ''}"
    if settings.deadletter_body == "redact":
        yield True, "dead letters: bodies are not kept, and cannot be sent again"


def _archive(settings: Settings) -> Line:
    folder = settings.log_dir
    if folder is None:
        return True, "log archive: off (HOPMAIL_LOG_DIR is none)"
    if trouble := _trouble_with(folder):
        cure = "create it for this user, or name another place in HOPMAIL_LOG_DIR"
        return False, f"log archive: {folder} cannot be written by this user ({trouble}); {cure}"
    return True, f"log archive: {folder}, kept {format_duration(settings.log_keep)}"


def _metrics(folder: Path | None) -> Line:
    if folder is None:
        return True, "metrics: off (HOPMAIL_METRICS_DIR is none)"
    if trouble := _trouble_with(folder):
        cure = "create it for this user, or name another place in HOPMAIL_METRICS_DIR"
        return False, f"metrics: {folder} cannot be written by this user ({trouble}); {cure}"
    closed = next((each for each in _existing(folder) if not each.stat().st_mode & S_IXOTH), None)
    readers = f"; only users who may look into {closed} can read it" if closed else ""
    return True, f"metrics: written to {folder}{readers}"


def _trouble_with(folder: Path) -> str:
    """Say why nothing can be made in a folder, or it cannot be made itself; empty where it can."""
    try:
        # What is missing of the path is made at the start.
        with TemporaryDirectory(prefix=".hopmail-check-", dir=_existing(folder)[0]):
            return ""
    except OSError as error:
        return error.strerror or type(error).__name__


def _existing(folder: Path) -> list[Path]:
    """Return what there is of a path, the deepest first."""
    return [each for each in (folder, *folder.parents) if os.access(each, os.F_OK)]
