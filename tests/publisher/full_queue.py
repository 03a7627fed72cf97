"""A queue at its limit."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pika

from publisher_lib.routing import EXCHANGE, Lane
from tests.publisher.emails import QUEUE
from tests.support.broker import VirtualHost

FILLER = b"filler"


@contextmanager
def full_queue(vhost: VirtualHost) -> Iterator[None]:
    """Bound the transactional queue to one message for the length of a block, and fill it."""
    path = f"policies/{vhost.name}/full"
    limit = {"pattern": f"^{QUEUE}$", "definition": {"max-length": 1}, "apply-to": "queues"}
    vhost.broker.request("PUT", path, limit)
    with vhost.channel() as channel:
        channel.confirm_delivery()
        for _filler in range(5):
            # A quorum queue takes a few more than its limit.
            with suppress(pika.exceptions.NackError):
                channel.basic_publish(EXCHANGE, Lane.TRANSACTIONAL.value, FILLER)
    yield
    vhost.broker.request("DELETE", path)
