"""`hopmail status` for a person's eyes: one screen, the answer first."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from consumer.core.durations import spell_duration
from consumer.core.obstacles import PAUSED, flows, obstacles, remarks
from consumer.core.status import Status, WorkerSeen
from consumer.core.waiting import Kind

MEBIBYTE: Final = 1024 * 1024
NOTHING: Final = "-"
UNKNOWN: Final = "?"
WORDS: Final = frozenset({"queue", "worker", "relay", "state"})
"""Columns of words; the others are of figures."""


def page(status: Status) -> RenderableType:
    """Return the screen."""
    parts: list[RenderableType] = [*_answer(status), ""]
    if status.queues:
        parts += [_queues(status), ""]
    if status.workers:
        parts += [_workers(status), ""]
    parts.append(_relays(status))
    if told := _dead_letters(status):
        parts += ["", told]
    return Group(*parts)


def _answer(status: Status) -> Iterator[RenderableType]:
    found = obstacles(status)
    if found:
        yield Text("✗ mail does not flow", style="red")
    elif flows(status):
        yield Text("✓ mail flows", style="green")
    else:
        yield Text("✓ mail waits, as it is paused", style="yellow")
    for style, lines in (("red", found), ("yellow", remarks(status))):
        for line in lines:
            yield Padding.indent(Text(line, style=style), 2)


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, justify="left" if column in WORDS else "right", no_wrap=True)
    return table


def _queues(status: Status) -> Table:
    table = _table("queue", "waiting", "oldest", "last accepted")
    for queue in status.queues:
        place = queue.place
        if place.kind is Kind.LANE and place.lane is not None:
            # What the workers hold of it waits as well.
            oldest = _oldest(status, status.oldest(place.lane), is_empty=not queue.messages)
            accepted = _ago(status, status.last_acceptance(place.lane))
            table.add_row(place.queue, _whole(queue.messages), oldest, accepted)
        elif place.kind is Kind.DEAD or queue.messages:
            oldest = _oldest(status, queue.oldest, is_empty=not queue.messages)
            table.add_row(place.queue, _whole(queue.messages), oldest, "")
    return table


def _oldest(status: Status, moment: datetime | None, *, is_empty: bool) -> str:
    if moment is None:
        return NOTHING if is_empty else UNKNOWN
    return f"≤ {_age(status, moment)}"


def _whole(number: int) -> str:
    return f"{number:,}".replace(",", "\u2009")


def _workers(status: Status) -> Table:
    table = _table("worker", "state", "mails/s", "in flight", "sessions", "memory", "up")
    for worker in status.workers:
        if not status.is_alive(worker):
            table.add_row(worker.name, f"silent for {_age(status, worker.heartbeat)}")
            continue
        table.add_row(
            worker.name,
            _state(status, worker),
            f"{worker.per_second:.1f}",
            str(worker.in_flight),
            str(sum(worker.sessions.values())),
            f"{worker.rss_bytes / MEBIBYTE:.0f} MiB",
            _age(status, worker.started),
        )
    return table


def _state(status: Status, worker: WorkerSeen) -> str:
    if not worker.is_connected:
        return "starting" if status.is_starting(worker) else "not connected"
    holds = ", ".join(hold for hold in worker.holds if hold != PAUSED)
    if holds:
        return f"held: {holds}"
    if PAUSED not in worker.holds:
        return "consuming"
    return f"{' and '.join(status.paused)} paused" if status.paused else PAUSED


def _relays(status: Status) -> Table:
    table = _table("relay", "state", "sessions")
    for relay in status.relays:
        sessions = sum(worker.sessions.get(relay, 0) for worker in status.alive)
        table.add_row(relay, _relay_state(status, relay), str(sessions))
    return table


def _relay_state(status: Status, relay: str) -> str:
    if not status.is_in_trouble(relay):
        return "up" if status.alive else UNKNOWN
    since, stages = status.trouble_since(relay), status.trouble_stages(relay)
    if since is None:
        return "in trouble"
    return f"in trouble for {_age(status, since)}, at {', '.join(stage.name for stage in stages)}"


def _dead_letters(status: Status) -> str:
    reasons: dict[str, int] = {}
    for worker in status.alive:
        for reason, count in worker.dead_letters.items():
            reasons[reason] = reasons.get(reason, 0) + count
    told = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    return f"dead letters since these workers started: {told}" if told else ""


def _ago(status: Status, moment: datetime | None) -> str:
    return NOTHING if moment is None else f"{_age(status, moment)} ago"


def _age(status: Status, moment: datetime) -> str:
    seconds = max(timedelta(), status.now - moment)
    return spell_duration(timedelta(seconds=int(seconds.total_seconds())))
