"""A steady load: so many calls a second, however long each takes, in a process of its own.

`python -m benchmarks.load KIND RATE SECONDS` makes the calls, and prints for each its number, when
it began and when it returned. Where all threads are busy, calls begin late: what they take is
timed from their beginning.
"""

import itertools
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Final, NamedTuple

from benchmarks.contenders.tasks import fields, send
from benchmarks.contenders.where import amqp_url
from benchmarks.mail import email
from benchmarks.processes import answer_of
from publisher_lib import Publisher

THREADS: Final = 32
FIRST_CALL_SECONDS: Final = 0.2
CONNECTING: Final = 1
"""Mails that are published before the first call, so that it need not connect."""


class Call(NamedTuple):
    """One call, on the monotonic clock."""

    number: int
    began_seconds: float
    returned_seconds: float

    @property
    def took_seconds(self) -> float:
        """How long it took."""
        return self.returned_seconds - self.began_seconds


def loaded(kind: str, rate: float, seconds: float, environment: Mapping[str, str]) -> list[Call]:
    """Make the calls in a process of their own and return them in the order of their numbers."""
    found = answer_of("benchmarks.load", kind, rate, seconds, environment=environment)
    return [Call(*each) for each in found]


def message_id(number: int) -> str:
    """Return the message id of the mail that a call publishes."""
    return f"load-{number}"


@contextmanager
def publish() -> Iterator[Callable[[int], None]]:
    """Publish and wait for the confirm, as a request would."""
    with Publisher(amqp_url()) as publisher:

        def call(number: int) -> None:
            publisher.publish(email(number), message_id=message_id(number))

        publisher.publish(email(0))
        yield call


@contextmanager
def publish_nowait() -> Iterator[Callable[[int], None]]:
    """Publish and do not wait; at the end all confirms are awaited."""
    with Publisher(amqp_url()) as publisher:

        def call(number: int) -> None:
            publisher.publish_nowait(email(number), message_id=message_id(number))

        publisher.publish(email(0))
        yield call


@contextmanager
def smtplib() -> Iterator[Callable[[int], None]]:
    """Send in the request, over a connection of its own."""
    yield lambda number: send(**fields(number))


KINDS: Final[Mapping[str, Callable[[], AbstractContextManager[Callable[[int], None]]]]] = {
    "publish": publish,
    "publish-nowait": publish_nowait,
    "smtplib": smtplib,
}


def steady(call: Callable[[int], None], rate: float, seconds: float) -> list[Call]:
    """Make `rate` calls a second for so many seconds."""
    started = time.monotonic() + FIRST_CALL_SECONDS
    numbers, lock = itertools.count(), threading.Lock()
    count = round(rate * seconds)
    with ThreadPoolExecutor(THREADS) as pool:
        work = partial(_work, call, lambda: _next(numbers, lock), rate, started, count)
        shares = [pool.submit(work) for _ in range(THREADS)]
    return sorted(itertools.chain.from_iterable(share.result() for share in shares))


def _work(
    call: Callable[[int], None],
    next_number: Callable[[], int],
    rate: float,
    started: float,
    count: int,
) -> list[Call]:
    calls: list[Call] = []
    while (number := next_number()) < count:
        time.sleep(max(0.0, started + number / rate - time.monotonic()))
        began = time.monotonic()
        call(number)
        calls.append(Call(number, began, time.monotonic()))
    return calls


def _next(numbers: Iterator[int], lock: threading.Lock) -> int:
    with lock:
        return next(numbers)


def main() -> None:
    """Make the calls that the arguments ask for."""
    kind, rate, seconds = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
    with KINDS[kind]() as call:
        calls = steady(call, rate, seconds)
    json.dump(calls, sys.stdout)


if __name__ == "__main__":
    main()
