"""Deliveries of a quorum queue, given back so that their order stays."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

SECONDS: Final = 10.0
LONGEST_RUN: Final = 32
MOST_UNDER_WAY: Final = 16
"""Runs that are given back before the broker has answered."""


def give_back(channel: Any, unacked: Mapping[int, str], ready: Callable[[], int]) -> None:
    """Give back all in the order in which it came: delivery tags, each with its consumer's tag.

    `ready` asks the broker how many messages lie ready.

    RabbitMQ keeps the order of up to 32 messages of one consumer, and of commands while few
    of them are under way (rabbit_fifo and rabbit_fifo_client of 3.10).
    """
    given = 0
    before = ready()
    for number, run in enumerate(_runs(unacked), 1):
        channel.basic_nack(run[-1], multiple=True, requeue=True)
        given += len(run)
        if number % MOST_UNDER_WAY == 0:
            _await(ready, before + given)
    # Else whoever looks next might not see all of them.
    _await(ready, before + given)


def _await(ready: Callable[[], int], messages: int) -> None:
    until = time.monotonic() + SECONDS
    while ready() < messages and time.monotonic() < until:
        pass


def _runs(unacked: Mapping[int, str]) -> Iterator[list[int]]:
    """Yield the delivery tags in their order, in runs that came by one consumer."""
    run: list[int] = []
    for tag, consumer in sorted(unacked.items()):
        if run and (consumer != unacked[run[0]] or len(run) == LONGEST_RUN):
            yield run
            run = []
        run.append(tag)
    if run:
        yield run
