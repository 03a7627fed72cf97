"""The broker of HOPMAIL_AMQP_URL, and whether it may be played with."""

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from pika import exceptions

from consumer.amqp.connection import BrokerUnavailable
from consumer.amqp.declare import NOT_FOUND
from consumer.core.topology import lane_queue, retry_queue
from consumer.settings.model import Settings
from consumer.settings.read import read_ladder
from dev.connect import NAME, connected
from publisher_lib.broker_url import explain, read_urls
from publisher_lib.routing import Lane

VARIABLE: Final = "HOPMAIL_AMQP_URL"
LADDER: Final = "HOPMAIL_RETRY_DELAYS"
CURE: Final = f"give {VARIABLE} of an empty virtual host, or unset it for a private node"


class NotForPlay(Exception):
    """It cannot or must not be used; the text says why, without the password."""


def without_password(amqp_url: str) -> str:
    """Return one or several URLs as a screen may show them."""
    return ",".join(map(str, read_urls(amqp_url, NAME)))


def make_sure_it_is_idle(amqp_url: str, *ladders: str) -> None:
    """Raise NotForPlay if mail waits there, or somebody consumes it: ours would mix with it.

    AMQP 0-9-1 cannot list queues: of the retry queues, those are looked at that these ladders,
    the default one and that of HOPMAIL_RETRY_DELAYS name.
    """
    try:
        read_urls(amqp_url, NAME)
    except ValueError as error:
        raise NotForPlay(f"{VARIABLE}: {error}") from None
    try:
        with connected(amqp_url) as connection:
            found = list(_in_use(connection, ladders))
    except BrokerUnavailable as error:
        raise NotForPlay(str(error)) from None
    except exceptions.AMQPError as error:
        raise NotForPlay(f"{VARIABLE}: {explain(error)}") from None
    if found:
        raise NotForPlay(f"{', '.join(found)}: {CURE}")


def _in_use(connection: Any, ladders: tuple[str, ...]) -> Iterator[str]:
    for queue in _queues(ladders):
        channel = connection.channel()
        try:
            state = channel.queue_declare(queue, passive=True).method
        except exceptions.ChannelClosedByBroker as refusal:
            if refusal.reply_code != NOT_FOUND:
                raise
            continue
        channel.close()
        if state.message_count:
            yield f"{queue} holds {_counted(state.message_count, 'message')}"
        if state.consumer_count:
            yield f"{queue} has {_counted(state.consumer_count, 'consumer')}"


def _queues(ladders: tuple[str, ...]) -> Iterator[str]:
    default = str(Settings.model_fields["retry_delays"].default)
    delays = set[timedelta]()
    for ladder in (*ladders, default, os.environ.get(LADDER, "")):
        with suppress(ValueError):
            delays.update(read_ladder(ladder))
    for lane in Lane:
        yield lane_queue(lane)
        yield from (retry_queue(lane, delay) for delay in sorted(delays))


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
