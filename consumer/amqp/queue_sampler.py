"""Looks at the queues every now and then, without touching what is in them."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from pika import exceptions

from consumer.amqp.connection import BrokerUnavailable, blocking_connection
from consumer.amqp.seen_empty import SeenEmpty
from consumer.core.crash import place_of
from consumer.core.delivery import Delivery
from consumer.core.waiting import Count, Stock, Stocks, places, published_seconds
from publisher_lib.broker_url import read_urls

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 15.0
"""Between looks: as often as Prometheus usually asks."""

AGAIN_SECONDS: Final = 5.0
"""Until the next look where one is in doubt, or the broker away."""

FILE: Final = "queues.json"
NAME: Final = "hopmail queue sampler"

NOT_FOUND: Final = 404

UNSEEN: Final = "queues not looked at"
UNKEPT: Final = "queues' file not written"


class QueueSampler:
    """Counts what waits in each queue, in a thread and over a connection of its own.

    Passive declares leave messages and their delivery counts alone, and need a right to the queue
    at most (consumer/core/permissions.py). `show` gets what each look finds, and when it began
    (Unix time). What the sampler cannot find out it logs, once; whatever happens to it, mail goes
    on.
    """

    def __init__(
        self,
        urls: tuple[str, ...],
        delays: tuple[timedelta, ...],
        state_dir: Path,
        show: Callable[[Sequence[Stock], float], None],
    ) -> None:
        self._urls = urls
        self._places = places(delays)
        self._file = SeenEmpty(state_dir / FILE, _broker(urls))
        self._stocks = Stocks(self._places, self._file.read())
        self._show = show
        self._troubles: set[str] = set()
        self._connection: Any = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="queues", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def took(self, delivery: Delivery) -> None:
        """Note that a delivery came out of its lane. Thread-safe."""
        published = published_seconds(delivery.properties, time.time())
        if published is not None:
            self._stocks.took(delivery.lane, published)

    def close(self, timeout_seconds: float) -> None:
        """Look no more, and take leave of the broker if it answers in time."""
        self._closing.set()
        connection = self._connection
        if connection is not None:
            # It waits for whatever may come.
            with suppress(exceptions.AMQPError):
                connection.add_callback_threadsafe(_nothing)
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                with blocking_connection(self._urls, NAME) as connection:
                    self._connection = connection
                    self._look_often(connection)
            except BrokerUnavailable as away:
                self._report(UNSEEN, str(away))
            except Exception as error:  # noqa: BLE001 - no bug in here may end the process
                self._report(UNSEEN, place_of(error))
            self._connection = None
            self._closing.wait(AGAIN_SECONDS)

    def _look_often(self, connection: Any) -> None:
        while not self._closing.is_set():
            self._look(connection)
            self._wait(connection, AGAIN_SECONDS if self._stocks.is_in_doubt else LOOK_SECONDS)

    def _look(self, connection: Any) -> None:
        asked_seconds = time.time()
        told = dict(_counts(connection, [place.queue for place in self._places]))
        self._show(self._stocks.look(told, asked_seconds), asked_seconds)
        self._troubles.discard(UNSEEN)
        try:
            self._file.write(self._stocks.seen_empty)
        except OSError as error:
            self._report(UNKEPT, error.strerror or type(error).__name__)
        else:
            self._troubles.discard(UNKEPT)

    def _wait(self, connection: Any, seconds: float) -> None:
        """Wait, with an ear for the broker: else it would miss our heartbeats."""
        until = time.monotonic() + seconds
        while not self._closing.is_set() and (left := until - time.monotonic()) > 0:
            connection.process_data_events(left)

    def _report(self, event: str, detail: str) -> None:
        if event not in self._troubles and not self._closing.is_set():
            log.warning(event, extra={"detail": detail})
        self._troubles.add(event)


def look(urls: tuple[str, ...], queues: Sequence[str]) -> dict[str, Count]:
    """Return what waits in queues now, so far as it may be looked at. Raises BrokerUnavailable."""
    with blocking_connection(urls, NAME) as connection:
        return dict(_counts(connection, queues))


def _counts(connection: Any, queues: Sequence[str]) -> Iterator[tuple[str, Count]]:
    channel = connection.channel()
    for queue in queues:
        try:
            found = channel.queue_declare(queue, passive=True).method
        except exceptions.ChannelClosedByBroker as refusal:
            channel = connection.channel()
            # What is not there holds nothing. Of what may not be looked at nothing is known.
            if refusal.reply_code == NOT_FOUND:
                yield queue, Count(0, 0)
        else:
            yield queue, Count(found.message_count, found.consumer_count)
    channel.close()


def _broker(urls: tuple[str, ...]) -> str:
    found = (f"{url.address}{url.vhost}" for url in read_urls(urls, NAME))
    return " ".join(sorted(found))


def _nothing() -> None:
    """Wake whoever waits for the broker."""
