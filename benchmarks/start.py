"""Start: from the start of a worker process to its first delivery."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from benchmarks import goals
from benchmarks.figures import spread
from benchmarks.hopmail import hopmail, publish
from benchmarks.place import Place
from benchmarks.processes import python, running
from benchmarks.section import Section
from dev.terminal import step
from tests.support.broker import VirtualHost

ROUNDS: Final = 5
START_SECONDS: Final = 30.0

WORKER: Final = "`hopmail consume`"
SUPERVISED: Final = "`hopmail run`, two processes"

HOW: Final = """\
A mail waits; the time runs from the start of the process to the moment at which `smtp-sink` has
taken the mail. Queues and ledger are there already, as after a deployment. `hopmail run` checks the
settings, starts supervisor and this the workers.
"""

Rounds = Mapping[str, Sequence[float]]
"""The seconds of each way to start, round by round."""


def measure(place: Place) -> Section:
    """Start in both ways, in rounds."""
    found: dict[str, list[float]] = {WORKER: [], SUPERVISED: []}
    with place.vhost() as vhost, place.work_folder() as folder:
        for number in place.rounds(ROUNDS):
            with step(f"round {number}: {WORKER}"):
                found[WORKER].append(started(place, vhost, _consume(place, vhost, folder)))
            with step(f"round {number}: {SUPERVISED}"):
                found[SUPERVISED].append(started(place, vhost, hopmail(place, vhost)))
    return section(found)


def started(place: Place, vhost: VirtualHost, consumers: AbstractContextManager[object]) -> float:
    """Start consumers beside a mail that waits; return the seconds until it was taken."""
    before = place.sink.count
    publish(vhost, 1)
    began = time.monotonic()
    with consumers:
        return place.sink.wait_for(before + 1, START_SECONDS) - began


def _consume(place: Place, vhost: VirtualHost, folder: Path) -> AbstractContextManager[object]:
    settings = {
        "HOPMAIL_AMQP_URL": vhost.url,
        "HOPMAIL_SMTP_URL": place.sink.url,
        "HOPMAIL_STATE_DIR": str(folder / "state"),
        "HOPMAIL_METRICS_DIR": str(folder),
    }
    return running(python("consumer", "consume"), folder / "log", settings)


def section(found: Rounds) -> Section:
    """Return what the page tells of the rounds."""
    return Section(
        "Start",
        HOW,
        list(_rows(found)),
        reached={goals.START: spread(found[WORKER])},
    )


def _rows(found: Rounds) -> Iterator[tuple[str, ...]]:
    yield "started with", "s", "range"
    for way, seconds in found.items():
        figures = spread(seconds)
        yield way, f"{figures.median:.2f}", f"{figures.low:.2f}–{figures.high:.2f}"
