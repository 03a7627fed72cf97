"""Consumers with one thing deliberately wrong, as programs for `ConsumerProcess`.

They show that the harness sees what the product's care prevents.
"""

from typing import Final

_RUN: Final = """
from consumer.__main__ import main
main()
"""

AUTO_ACK: Final = (
    "-c",
    """
import pika.channel
from consumer.amqp.link import Link
consume = pika.channel.Channel.basic_consume
def auto_acking(channel, queue, callback, **options):
    return consume(channel, queue, callback, auto_ack=True, **options)
pika.channel.Channel.basic_consume = auto_acking
Link.ack = lambda link, tag: None
"""
    + _RUN,
)

ACK_BEFORE_SEND: Final = (
    "-c",
    """
from consumer.amqp.link import Link
received = Link._received
def acking(link, lane, channel, method, found, body):
    channel.basic_ack(method.delivery_tag)
    received(link, lane, channel, method, found, body)
Link._received = acking
Link.ack = lambda link, tag: None
"""
    + _RUN,
)

ACK_MULTIPLE: Final = (
    "-c",
    """
from consumer.amqp.link import Link
acked = {}
def flush(link):
    link._flush_due = False
    while link._settled:
        tag = link._settled.popleft()
        if link.is_open and tag > acked.get(link.generation, 0):
            acked[link.generation] = tag
            link._channel.basic_ack(tag, multiple=True)
Link._flush = flush
"""
    + _RUN,
)

AT_MOST_ONCE: Final = (
    "-c",
    """
import consumer.core.topology
careful = consumer.core.topology._dead_lettering_to
def careless(exchange, routing_key):
    return careful(exchange, routing_key) | {"x-dead-letter-strategy": "at-most-once"}
consumer.core.topology._dead_lettering_to = careless
"""
    + _RUN,
)
