"""A short connection to the broker that is played with."""

from contextlib import AbstractContextManager
from typing import Any, Final

from consumer.amqp.connection import blocking_connection

NAME: Final = "hopmail demo"


def connected(amqp_url: str) -> AbstractContextManager[Any]:
    """Connect to the first that answers of one or several URLs, separated by commas.

    Raises BrokerUnavailable, which says of each what was wrong.
    """
    return blocking_connection(tuple(amqp_url.split(",")), NAME)
