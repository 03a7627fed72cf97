"""Publishes the usual mail in a contender's way, in a process of its own, and times it.

`python -m benchmarks.contenders.publishing WAY COUNT` prints the seconds that all but the first
took: with the first one connections are made.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Final

import pika

from benchmarks.contenders.tasks import fields
from benchmarks.contenders.where import amqp_url
from benchmarks.mail import email
from publisher_lib import Publisher
from publisher_lib.encode import encode
from publisher_lib.routing import EXCHANGE, Lane

THREADS: Final = 8

Publish = Callable[[range], None]
"""Publishes the mails of these numbers."""


@contextmanager
def hopmail_many() -> Iterator[Publish]:
    """Hopmail's `publish_many`."""
    with Publisher(amqp_url()) as publisher:
        yield lambda numbers: _ignore(publisher.publish_many(map(email, numbers)))


@contextmanager
def hopmail_threads() -> Iterator[Publish]:
    """Hopmail's `publish` in eight threads, as a web server has them."""
    with Publisher(amqp_url()) as publisher:

        def share(numbers: range) -> None:
            for number in numbers:
                publisher.publish(email(number))

        def publish(numbers: range) -> None:
            with ThreadPoolExecutor(THREADS) as pool:
                list(pool.map(share, (numbers[first::THREADS] for first in range(THREADS))))

        yield publish


@contextmanager
def pika_confirmed() -> Iterator[Publish]:
    """A `BlockingConnection` that awaits each confirm; the same body into the same quorum queue."""
    parameters = pika.URLParameters(amqp_url())
    connection = pika.BlockingConnection(parameters)
    login = parameters.credentials.username
    channel = connection.channel()
    channel.confirm_delivery()

    def publish(numbers: range) -> None:
        for number in numbers:
            message = encode(
                email(number), message_id=None, traceparent=None, login=login, app_id=None
            )
            channel.basic_publish(
                EXCHANGE, Lane.TRANSACTIONAL.value, message.body, message.properties, mandatory=True
            )

    yield publish
    connection.close()


@contextmanager
def celery(task: str) -> Iterator[Publish]:
    """Celery's `apply_async`."""
    from benchmarks.contenders import celery_app  # noqa: PLC0415 - it reads the environment

    apply = {"usual": celery_app.usual, "tuned": celery_app.tuned}[task].apply_async

    def publish(numbers: range) -> None:
        for number in numbers:
            apply(kwargs=fields(number))

    yield publish
    celery_app.app.close()


@contextmanager
def dramatiq(task: str) -> Iterator[Publish]:
    """Dramatiq's `send`."""
    from benchmarks.contenders import dramatiq_app  # noqa: PLC0415 - it reads the environment

    actor = {"usual": dramatiq_app.usual, "tuned": dramatiq_app.tuned}[task]

    def publish(numbers: range) -> None:
        for number in numbers:
            actor.send(**fields(number))

    yield publish
    dramatiq_app.broker.close()


WAYS: Final[Mapping[str, Callable[[], AbstractContextManager[Publish]]]] = {
    "hopmail-many": hopmail_many,
    "hopmail-threads": hopmail_threads,
    "pika-confirmed": pika_confirmed,
    "celery-usual": partial(celery, "usual"),
    "celery-tuned": partial(celery, "tuned"),
    "dramatiq-usual": partial(dramatiq, "usual"),
    "dramatiq-tuned": partial(dramatiq, "tuned"),
}


def _ignore(_result: object) -> None:
    """Take the receipts, as a caller would who only wants to know that it is done."""


def main() -> None:
    """Publish as many as the arguments say, and print the seconds."""
    way, count = sys.argv[1], int(sys.argv[2])
    with WAYS[way]() as publish:
        publish(range(1))
        started = time.monotonic()
        publish(range(1, count))
        seconds = time.monotonic() - started
    json.dump(seconds, sys.stdout)


if __name__ == "__main__":
    main()
