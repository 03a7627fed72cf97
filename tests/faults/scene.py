"""One fault case: broker, sink, consumers and publishers, what is done to them, and the count."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Any, Final

import pika.exceptions

from consumer.core.durations import format_duration
from consumer.core.topology import DEAD_QUEUE, topology
from dev.broker import Node
from publisher_lib import Publisher
from tests.faults.attempts import Attempts
from tests.faults.count import Count, in_doubt_by_message
from tests.faults.crew import PROGRAM, Crew
from tests.faults.dead import dead_pairs
from tests.faults.results import LINES, SEED, Case, Result
from tests.faults.sink import Pair, Sink
from tests.support.broker import LADDER, Message, VirtualHost
from tests.support.consumer_process import wait_until

DRAIN_SECONDS: Final = 180.0
LOGS: Final = LINES.parent / "fault-logs"
LOOK_SECONDS: Final = 0.1
MOST_REST_SECONDS: Final = 5


class Scene:
    """The parts, and what has happened so far. `finish` counts, once everything has come to rest.

    `vhost` is on the shared broker or on `node`, a broker that may be killed. `random` is seeded
    alike each time. Another relay than the sink is named by `relay_url` and counted by `accepted`.
    """

    def __init__(
        self, case: Case, vhost: VirtualHost, sink: Sink, folder: Path, node: Node | None = None
    ) -> None:
        self.vhost = vhost
        self.sink = sink
        self.node = node
        self.folder = folder
        self.random = random.Random(SEED)  # noqa: S311 - a schedule of faults, no secret
        self.attempts = Attempts(folder / "attempts")
        self.relay_url = sink.url
        self.accepted: Callable[[], Counter[Pair]] = sink.accepted
        self.ladder: tuple[timedelta, ...] = LADDER
        self.crew: Crew | None = None
        self.dead: list[Message] = []
        self.logs: Callable[[], list[str]] = list
        self._case = case
        self._faults: list[float] = []
        self._crews: list[Crew] = []
        vhost.declare_topology(self.ladder)

    def use_ladder(self, *delays_seconds: int) -> None:
        """Have retries wait so long; before any consumer starts."""
        self.ladder = tuple(timedelta(seconds=delay) for delay in delays_seconds)
        self.vhost.declare_topology(self.ladder)

    @contextmanager
    def consumers(
        self, size: int, program: tuple[str, ...] = PROGRAM, **settings: object
    ) -> Iterator[Crew]:
        """Keep `size` consumer processes running until `finish`, or an error in the block."""
        url = str(settings.pop("amqp_url", self.vhost.url))
        settings.setdefault("retry_delays", ",".join(map(format_duration, self.ladder)))
        self.crew = Crew(url, self.relay_url, size, program, **settings)
        self._crews.append(self.crew)
        try:
            self.crew.start()
            self.crew.wait_ready()
            yield self.crew
        finally:
            self.crew.kill()

    @contextmanager
    def storm(self, count: int, prefix: str = "m", url: str = "", **options: Any) -> Iterator[None]:
        """Publish `count` emails beside the block, as fast as it goes; each has an end after it."""
        with Publisher(url or self.vhost.app_url) as publisher:
            thread = threading.Thread(
                target=self.attempts.storm, args=(publisher, count, prefix), kwargs=options
            )
            thread.start()
            try:
                yield
            finally:
                thread.join()

    def publish(self, count: int, prefix: str = "m", url: str = "", **options: Any) -> None:
        """Publish `count` emails and wait for every end."""
        with self.storm(count, prefix, url, **options):
            pass

    def fault(self) -> None:
        """Note that a fault was injected, or its end after which work can go on, just now."""
        self._faults.append(time.monotonic())

    def wait_for_mails(self, count: int, seconds: float = 60.0) -> None:
        """Wait until the relay has taken so many, copies included."""
        wait_until(lambda: self.accepted().total() >= count, seconds, f"{count} mails")

    def wait_for_more(self, count: int, seconds: float = 60.0) -> None:
        """Wait until the relay has taken so many more."""
        self.wait_for_mails(self.accepted().total() + count, seconds)

    def a_while(self, least_seconds: float, most_seconds: float) -> None:
        """Let a random time pass: the moment of a fault must not depend on what it hits."""
        time.sleep(self.random.uniform(least_seconds, most_seconds))

    def finish(
        self, seconds: float = DRAIN_SECONDS, *, duplicates_allowed: int = 0, note: str = ""
    ) -> Count:
        """Drain, stop the consumers, count, and write the result down; the caller judges."""
        count = self.settle(seconds, duplicates_allowed=duplicates_allowed)
        result = Result(
            case=self._case,
            workers=max((crew.size for crew in self._crews), default=0),
            faults=len(self._faults),
            figures=count.figures(),
            broken=count.broken,
            recovery_seconds=self.recovery_seconds(),
            broker=str(self.vhost.broker.request("GET", "overview")["rabbitmq_version"]),
            note=note,
        )
        result.save()
        return count

    def settle(self, seconds: float, *, duplicates_allowed: int = 0) -> Count:
        """Drain, stop the consumers, and count; keep the logs where something broke."""
        count = self._count(self._drain(time.monotonic() + seconds), duplicates_allowed)
        if count.broken:
            LOGS.mkdir(parents=True, exist_ok=True)
            name = self._case.test.rpartition("::")[2]
            (LOGS / f"{name}.log").write_text("\n".join(count.logs))
        return count

    def left(self) -> dict[str, int]:
        """Return how many messages each queue has ready, the dead-letter queue's left out."""
        names = [queue.name for queue in topology(self.ladder).queues if queue.name != DEAD_QUEUE]
        with self.vhost.channel() as channel:
            return {
                name: int(channel.queue_declare(name, passive=True).method.message_count)
                for name in names
            }

    def _drain(self, deadline: float) -> dict[str, int]:
        """Wait until the queues are empty and nothing is unacked, which only a stop can prove.

        What was still unacked is ready then; a message that a retry queue is just handing over
        is nowhere to be seen, but confirmed and not found: it is given one more chance. Each crew
        is left longer than the one before it: what waits for its neighbours looks as empty.
        """
        empty_in_a_row = rest_seconds = 0
        while True:
            self._wait_empty(deadline)
            time.sleep(rest_seconds)
            rest_seconds = min(rest_seconds + 1, MOST_REST_SECONDS)
            codes = self.crew.stop() if self.crew is not None else []
            assert not any(codes), f"exit codes {codes}"
            left = self.left()
            self.dead += self.vhost.take_all(DEAD_QUEUE)
            is_empty = not any(left.values())
            empty_in_a_row = empty_in_a_row + 1 if is_empty else 0
            is_done = empty_in_a_row > 1 or (is_empty and not self._count(left, 0).lost)
            if is_done or time.monotonic() > deadline or self.crew is None:
                return left
            self.crew.start()
            self.crew.wait_ready()

    def _wait_empty(self, deadline: float) -> None:
        empty_in_a_row = 0
        while empty_in_a_row < 2 and time.monotonic() < deadline:
            try:
                is_empty = not any(self.left().values())
            except (pika.exceptions.AMQPError, OSError):
                is_empty = False
            empty_in_a_row = empty_in_a_row + 1 if is_empty else 0
            time.sleep(LOOK_SECONDS)

    def _count(self, left: dict[str, int], duplicates_allowed: int) -> Count:
        logs = [*self.logs(), *chain.from_iterable(crew.raw for crew in self._crews)]
        if self.node is not None:
            logs += (self.node.folder / "output").read_text(errors="replace").splitlines()
        return Count(
            ends=self.attempts.read(),
            accepted=self.accepted(),
            dead=dead_pairs(self.dead),
            in_doubt=in_doubt_by_message(chain.from_iterable(crew.lines for crew in self._crews)),
            left=left,
            logs=logs,
            duplicates_allowed=duplicates_allowed,
        )

    def recovery_seconds(self) -> float | None:
        """Return the longest time from a fault to the next mail taken; None without any."""
        moments = sorted(taken.at_seconds for taken in self.sink.taken)
        waits = [
            next((moment - fault for moment in moments if moment > fault), None)
            for fault in self._faults
        ]
        return max((wait for wait in waits if wait is not None), default=None)
