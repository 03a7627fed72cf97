"""What `hopmail status` sees at one moment: workers, queues, relays, and what was asked."""

from collections.abc import Iterator, Mapping
from dataclasses import field
from datetime import datetime, timedelta
from typing import Final

from consumer.core.outcome import Stage
from consumer.core.paused import Paused
from consumer.core.record import record
from consumer.core.trouble import Trouble
from consumer.core.waiting import Kind, Place
from publisher_lib.routing import Lane

SILENT: Final = timedelta(seconds=25)
"""A worker writes each five seconds: one that has not for so long is dead or hangs. As the rules of
deploy/prometheus have it."""

STARTING: Final = timedelta(seconds=15)
"""Until a worker is connected, and has written so."""


@record
class WorkerSeen:
    """A consumer process, by the figures it wrote last. `holds` say why it takes no mail.

    `wanted` is how many workers its host is to have. `troubles` are those of the
    `relays_in_trouble`, as far as the worker tells: one of another version may not.
    """

    name: str
    wanted: int
    heartbeat: datetime
    started: datetime
    is_connected: bool
    is_ledger_in_trouble: bool
    holds: tuple[str, ...]
    relays_in_trouble: tuple[str, ...]
    troubles: Mapping[str, Trouble]
    sessions: Mapping[str, int]
    in_flight: int
    per_second: float
    rss_bytes: int
    last_acceptance: Mapping[Lane, datetime]
    oldest_held: Mapping[Lane, datetime]
    dead_letters: Mapping[str, int]
    cautions: tuple[str, ...] = ()
    """The settings that it has and that must not be in production."""

    @property
    def host(self) -> str:
        """The name of its host."""
        return self.name.rpartition("-")[0]


@record
class QueueSeen:
    """A queue. Nothing that waits in it was put there before `oldest`; None: that is not known."""

    place: Place
    messages: int
    oldest: datetime | None


@record
class Status:
    """All that was seen at one moment; `broker_trouble` is why the queues could not be.

    `paused` is what an operator asked of this host, `control_trouble` why that could not be
    understood.
    """

    now: datetime
    workers: tuple[WorkerSeen, ...]
    relays: tuple[str, ...]
    queues: tuple[QueueSeen, ...]
    broker_trouble: str = ""
    paused: Mapping[Lane, Paused] = field(default_factory=dict)
    control_trouble: str = ""
    cautions: Mapping[str, str] = field(default_factory=dict)
    """By setting, what is set in this shell that must not be in production."""

    @property
    def alive(self) -> tuple[WorkerSeen, ...]:
        """The workers that wrote a moment ago: what the others wrote holds no more."""
        return tuple(each for each in self.workers if self.is_alive(each))

    def is_alive(self, worker: WorkerSeen) -> bool:
        """Whether a worker wrote a moment ago; not in what its clock takes for the future."""
        return abs(self.now - worker.heartbeat) < SILENT

    def is_starting(self, worker: WorkerSeen) -> bool:
        """Whether a worker may not have had the time to connect, and to write so."""
        return self.now - worker.started < STARTING

    @property
    def wanted(self) -> int:
        """How many workers there are to be, on the hosts of those that are alive."""
        hosts: dict[str, int] = {}
        for each in self.alive:
            hosts[each.host] = max(each.wanted, hosts.get(each.host, 0))
        return sum(hosts.values())

    def last_acceptance(self, lane: Lane) -> datetime | None:
        """Return when a relay last took a mail of a lane; None: not since these workers began."""
        moments = (each.last_acceptance.get(lane) for each in self.workers)
        return max(filter(None, moments), default=None)

    def oldest(self, lane: Lane) -> datetime | None:
        """Return since when, at most, the oldest mail of a lane waits; None: none does."""
        held = (each.oldest_held.get(lane) for each in self.alive)
        waiting = (
            each.oldest
            for each in self.queues
            if each.place.kind is Kind.LANE and each.place.lane is lane and each.messages
        )
        return min(filter(None, (*held, *waiting)), default=None)

    def waits(self, lane: Lane) -> bool:
        """Whether messages wait in a lane's queue."""
        return any(
            each.place.kind is Kind.LANE and each.place.lane is lane and each.messages
            for each in self.queues
        )

    def is_in_trouble(self, relay: str) -> bool:
        """Whether a worker takes a relay to be in trouble."""
        return any(relay in each.relays_in_trouble for each in self.alive)

    def trouble_since(self, relay: str) -> datetime | None:
        """Return since when a worker takes a relay to be in trouble; None: none tells."""
        return min((trouble.since for trouble in self._troubles(relay)), default=None)

    def trouble_stages(self, relay: str) -> tuple[Stage, ...]:
        """Return at which stages a relay fails now, for one worker or another."""
        return tuple(sorted({trouble.stage for trouble in self._troubles(relay)}))

    def _troubles(self, relay: str) -> Iterator[Trouble]:
        return (each.troubles[relay] for each in self.alive if relay in each.troubles)

    def has_relay(self, worker: WorkerSeen) -> bool:
        """Whether a worker takes one of the relays to be well."""
        return not set(self.relays) <= set(worker.relays_in_trouble)
