"""Hopmail as a user runs it: `hopmail run`, two processes, every guarantee, the default settings.

Ledger and metrics on, a log line for each mail at INFO into a file.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.failed import BenchmarkFailed
from benchmarks.mail import email
from benchmarks.place import LADDER, Place
from benchmarks.processes import arguments_of, family, let_roam
from consumer.settings.model import Settings
from dev.consumers import PROCESSES, READY_SECONDS, Consumers, consuming
from publisher_lib import Email, Lane, Publisher
from tests.support.broker import VirtualHost

SESSIONS: Final = PROCESSES * int(str(Settings.model_fields["smtp_sessions"].default))
"""Of all processes together."""

LOOK_SECONDS: Final = 0.1
ROAM_SECONDS: Final = 0.02
"""So soon after a worker has chosen a CPU it may use all of them."""


@dataclass(frozen=True)
class Crew:
    """The running consumers."""

    consumers: Consumers

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        return self.consumers.pid

    @property
    def workers(self) -> list[int]:
        """The process ids of those that deliver mail."""
        return [pid for pid in family(self.pid) if arguments_of(pid)[-1:] == ["consume"]]

    def roam(self) -> None:
        """Let the workers, as they come up, run on all CPUs. Raises BenchmarkFailed.

        One whose affinity was set from outside, after it chose a CPU, leaves it as it is.
        """
        ready, deadline = 0, time.monotonic() + READY_SECONDS
        while ready < PROCESSES:
            if time.monotonic() > deadline:
                raise BenchmarkFailed(f"{ready} of {PROCESSES} workers came up")
            let_roam(self.workers)
            time.sleep(ROAM_SECONDS)
            ready += sum(line["event"] == "consuming" for line in self.consumers.new_lines())
        let_roam(self.workers)

    def handled(self, lane: Lane, count: int, seconds: float) -> list[dict[str, Any]]:
        """Wait until so many mails of a lane were handled, and return the log lines on them.

        Raises BenchmarkFailed.
        """
        found: list[dict[str, Any]] = []
        deadline = time.monotonic() + seconds
        while len(found) < count:
            if time.monotonic() > deadline:
                raise BenchmarkFailed(f"{len(found)} of {count} mails were handled in time")
            time.sleep(LOOK_SECONDS)
            found += [line for line in self.consumers.new_lines() if _is_handled(line, lane)]
        return found


@contextmanager
def hopmail(
    place: Place, vhost: VirtualHost, smtp_url: str = "", **settings: str
) -> Iterator[Crew]:
    """Run the consumers for the length of a block; `settings` are others than the usual."""
    with (
        place.work_folder() as folder,
        consuming(vhost.url, smtp_url or place.sink.url, folder, LADDER, **settings) as consumers,
    ):
        yield Crew(consumers)


def publish(vhost: VirtualHost, count: int, lane: Lane = Lane.TRANSACTIONAL) -> None:
    """Publish the usual mail so many times, each confirmed."""
    publish_all(vhost, map(email, range(count)), lane)


def publish_all(
    vhost: VirtualHost, emails: Iterable[Email], lane: Lane = Lane.TRANSACTIONAL
) -> None:
    """Publish these mails, each confirmed."""
    with Publisher(vhost.app_url, app_id="benchmarks") as publisher:
        publisher.publish_many(emails, lane=lane)


def _is_handled(line: dict[str, Any], lane: Lane) -> bool:
    return line["event"] == "handled" and line.get("lane") == lane.value
