"""Whether mail flows, by what was seen: what stands in its way, and what is amiss."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from consumer.core.durations import spell_duration
from consumer.core.status import Status
from consumer.core.waiting import Kind
from publisher_lib.routing import Lane

LATE: Final = timedelta(minutes=5)
"""Mail that waits so long, while none is accepted, does not just stand in a long queue."""

NOBODY: Final = (
    "no consumer process is alive, or none can write its figures (a full disk, another folder?):"
    " see its log, or start `hopmail run`"
)
STOPPING: Final = "stopping"
PAUSED: Final = "paused"
"""Holds of a worker: it ends, or an operator asked it to take no mail of a lane or of any."""


def flows(status: Status) -> bool:
    """Return whether mail flows: nothing stands in its way, and not all of it is paused."""
    return not obstacles(status) and len(status.paused) < len(Lane)


def obstacles(status: Status) -> tuple[str, ...]:
    """Return why mail does not flow, each with where to look; nothing where it does.

    A pause is none: an operator wants it so, and a restart would not end it.
    """
    if not status.alive:
        return (NOBODY, *_broker(status))
    stuck = (told for lane in Lane for told in _stuck(status, lane))
    return (*_broker(status), *_workers(status), *stuck)


def remarks(status: Status) -> tuple[str, ...]:
    """Return what is amiss though mail flows."""
    retried = (told for lane in Lane for told in _retried(status, lane))
    return (*_cautions(status), *_control(status), *_paused(status), *_missing(status), *retried)


def _cautions(status: Status) -> Iterator[str]:
    """Yield what workers have set, which this shell need not have, and the other way about."""
    has_set: dict[str, list[str]] = {}
    for worker in status.alive:
        for setting in worker.cautions:
            has_set.setdefault(setting, []).append(worker.name)
    for setting in sorted({*status.cautions, *has_set}):
        told = status.cautions.get(setting, f"{setting} is set")
        whose = ", ".join(has_set.get(setting, ())) or "this shell only"
        yield f"not for production: {told} (by the settings of {whose})"


def _control(status: Status) -> Iterator[str]:
    if status.control_trouble:
        yield (
            f"control.json cannot be understood ({status.control_trouble}): workers do what was"
            " asked before, and one that starts takes all mail; `hopmail pause` or `hopmail resume`"
            " writes it anew"
        )


def _paused(status: Status) -> Iterator[str]:
    for lane, paused in status.paused.items():
        since = spell_duration(status.now - paused.since)
        told = f"{lane} is paused, by {paused.by} {since} ago: {paused.reason}"
        yield f"{told}; `hopmail resume --lane {lane}` ends it"


def _missing(status: Status) -> Iterator[str]:
    alive = len(status.alive)
    if 0 < alive < status.wanted:
        told = f"{alive} of {status.wanted} consumer processes are alive"
        yield f"{told}: see in the log why the others ended, or hang"


def _retried(status: Status, lane: Lane) -> Iterator[str]:
    if lane in status.paused:
        return
    waiting = sum(
        each.messages
        for each in status.queues
        if each.place.kind is Kind.RETRY and each.place.lane is lane
    )
    accepted = status.last_acceptance(lane)
    if waiting and (accepted is None or status.now - accepted > LATE):
        yield (
            f"{waiting} {lane} mails wait for another attempt, and none was accepted of late:"
            " see in the workers' log why"
        )


def _broker(status: Status) -> Iterator[str]:
    if status.broker_trouble:
        yield f"broker {status.broker_trouble}: see `hopmail check`"


def _workers(status: Status) -> Iterator[str]:
    alive = status.alive
    are_connected = any(each.is_connected or status.is_starting(each) for each in alive)
    if not are_connected and not status.broker_trouble:
        yield "no consumer process is connected to the broker: see `hopmail check`"
    if any(each.is_ledger_in_trouble for each in alive):
        yield "the ledger cannot be written, so nothing is consumed: see `hopmail check`"
    if all(STOPPING in each.holds for each in alive):
        yield "every consumer process is stopping: start `hopmail run`"
    if not any(map(status.has_relay, alive)):
        yield "every relay is in trouble, so mail waits: see `hopmail check`"


def _stuck(status: Status, lane: Lane) -> Iterator[str]:
    since = status.oldest(lane)
    if since is None and status.waits(lane):
        # Nothing is known of its age but that these workers have not taken it.
        since = min(each.started for each in status.alive)
    if since is None or lane in status.paused:
        return
    since = max(since, status.last_acceptance(lane) or since)
    if status.now - since > LATE:
        waits = spell_duration(status.now - since)
        yield f"{lane} mail waits, and none was accepted for {waits}: see the workers' log"
