"""The queues of an earlier layout: which are there, and that nothing more comes to them."""

from collections.abc import Iterable
from typing import Final

from pika import exceptions

from consumer.amqp.connection import blocking_connection
from consumer.core.migration import Pair
from consumer.core.waiting import Count

NAME: Final = "hopmail topology migrate"

NOT_FOUND: Final = 404

WHO: Final = "use a login with the rights of `deploy` (`hopmail topology users`)"


class MigrationStopped(Exception):
    """What was moved is moved, the rest is where it was; the text says why and what to do."""


def find(urls: tuple[str, ...], queues: Iterable[str]) -> dict[str, Count]:
    """Return what waits in each of the queues that exist, and who consumes it.

    Raises BrokerUnavailable, or MigrationStopped where one may not be looked at.
    """
    found = {}
    with blocking_connection(urls, NAME) as connection:
        channel = connection.channel()
        for name in queues:
            try:
                told = channel.queue_declare(name, passive=True).method
            except exceptions.ChannelClosedByBroker as refusal:
                if refusal.reply_code != NOT_FOUND:
                    raise MigrationStopped(f"{name}: {refusal.reply_text}; {WHO}") from None
                channel = connection.channel()
            else:
                found[name] = Count(told.message_count, told.consumer_count)
    return found


def unbind(urls: tuple[str, ...], pairs: Iterable[Pair]) -> None:
    """Let nothing more come to the old queues by way of the new ones' routing keys.

    Raises BrokerUnavailable, or MigrationStopped where that is not allowed.
    """
    with blocking_connection(urls, NAME) as connection:
        channel = connection.channel()
        for pair in pairs:
            try:
                channel.queue_unbind(pair.old, pair.new.exchange, pair.new.routing_key)
            except exceptions.ChannelClosedByBroker as refusal:
                raise MigrationStopped(
                    f"{pair.old} cannot be unbound ({refusal.reply_text}); {WHO}"
                ) from None
