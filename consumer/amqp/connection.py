"""How the daemon reaches the broker for what is done in a moment."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pika
from pika import exceptions

from publisher_lib.broker_url import CONNECT_ERRORS, explain, read_urls


class BrokerUnavailable(Exception):
    """The broker could not be reached or refused the login; the text says which."""


@contextmanager
def blocking_connection(urls: tuple[str, ...], name: str) -> Iterator[Any]:
    """Open a short-lived connection to the first broker that answers.

    `name` is shown in the broker's list of connections. Raises `BrokerUnavailable` naming each
    address and what was wrong with it, also when the connection is lost within the block.
    """
    failures: list[str] = []
    for broker in read_urls(urls, name):
        try:
            connection = pika.BlockingConnection(broker.parameters())
        except CONNECT_ERRORS as error:
            failures.append(f"{broker.address}: {broker.explain(error)}")
            continue
        try:
            yield connection
            connection.close()
        except (exceptions.AMQPError, OSError) as error:
            raise BrokerUnavailable(f"{broker.address}: {explain(error)}") from None
        finally:
            if connection.is_open:
                # What ended the block is what the caller must hear of.
                with suppress(exceptions.AMQPError, OSError):
                    connection.close()
        return
    raise BrokerUnavailable("; ".join(failures))
