"""Growth: whether rate and memory depend on how much waits."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks import goals
from benchmarks.figures import rate, ratios, spread
from benchmarks.hopmail import hopmail, publish
from benchmarks.place import Place
from benchmarks.processes import rss_bytes
from benchmarks.section import Section, per_second
from consumer.core.topology import lane_queue
from dev.terminal import step
from publisher_lib import Lane
from tests.support.broker import VirtualHost

ROUNDS: Final = 2
BACKLOGS: Final = (1_000, 10_000, 100_000, 500_000)
QUICK_SHARE: Final = 500
"""By which a trial divides the backlogs."""

DRAINED: Final = 10_000
QUICK_DRAINED: Final = 100
DRAIN_SECONDS: Final = 120.0
MEBIBYTE: Final = 1024 * 1024

HOW: Final = """\
10 000 mails are drained while as many as the row says wait behind them in the same quorum queue;
then the consumers are stopped. So each of them has done the same work, and only what waits differs.
Memory is the resident set of the larger process once the last of the 10 000 was taken.
"""


@dataclass(frozen=True)
class Drained:
    """What came of one backlog in one round."""

    rate: float
    rss_bytes: int


Rounds = Mapping[int, Sequence[Drained]]
"""By how many mails waited behind."""


def measure(place: Place) -> Section:
    """Go up from backlog to backlog, in one virtual host; each has its rounds."""
    found: dict[int, list[Drained]] = {}
    with place.vhost() as vhost:
        for full in BACKLOGS:
            backlog = place.pick(full, full // QUICK_SHARE)
            for number in place.rounds(ROUNDS):
                with step(f"{backlog} mails waiting, round {number}"):
                    found.setdefault(backlog, []).append(drained(place, vhost, backlog))
        with step("emptying the queue"):
            vhost.purge(lane_queue(Lane.TRANSACTIONAL))
    return section(found)


def drained(place: Place, vhost: VirtualHost, backlog: int) -> Drained:
    """Drain a fixed number of mails before a backlog."""
    count, before = place.pick(DRAINED, QUICK_DRAINED), place.sink.count
    waiting = vhost.queue_depth(lane_queue(Lane.TRANSACTIONAL))
    publish(vhost, max(0, backlog + count - waiting))
    with hopmail(place, vhost) as crew:
        place.sink.wait_for(before + count, DRAIN_SECONDS)
        memory = max(map(rss_bytes, crew.workers))
    return Drained(rate(place.sink.timeline, before, count), memory)


def section(found: Rounds) -> Section:
    """Return what the page tells of the rounds."""
    memory = [[each.rss_bytes for each in samples] for samples in found.values()]
    return Section(
        "Growth",
        HOW,
        list(_rows(found)),
        reached={goals.GROWTH: ratios(memory[-1], memory[0])},
        bars={
            f"{backlog:,} waiting": spread([each.rate for each in samples])
            for backlog, samples in found.items()
        },
        unit="mails/s drained",
    )


def _rows(found: Rounds) -> Iterator[tuple[str, ...]]:
    yield "waiting behind", "mails/s", "range", "RSS, MiB"
    for backlog, samples in found.items():
        memory = spread([each.rss_bytes / MEBIBYTE for each in samples])
        yield (
            f"{backlog:,}",
            *per_second(spread([each.rate for each in samples])),
            f"{memory.median:.1f} ({memory.low:.1f}–{memory.high:.1f})",
        )
