"""What RabbitMQ's versions do differently, held to what Hopmail relies on in each of them.

They differ in which requeues count towards the delivery limit, and in where a requeued message
goes (https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling).
"""

from collections.abc import Callable
from typing import Any

import pytest

from consumer.core.topology import DEAD_KEY, DEAD_QUEUE, lane_queue
from publisher_lib.routing import DEAD_EXCHANGE, Lane
from tests.support.broker import VirtualHost

QUEUE = lane_queue(Lane.TRANSACTIONAL)
LISTINGS = 50
LOSSES = 30


def nack(channel: Any, tag: int) -> None:
    channel.basic_nack(tag, requeue=True)


def reject(channel: Any, tag: int) -> None:
    channel.basic_reject(tag, requeue=True)


def keep(_channel: Any, _tag: int) -> None:
    """Have the broker requeue it when the connection ends."""


GIVEN_BACK = pytest.mark.parametrize("give_back", [nack, reject, keep])


def get(channel: Any, queue: str, count: int) -> list[tuple[bytes, int]]:
    """Get so many messages; return bodies and delivery tags."""
    got = [channel.basic_get(queue) for _ in range(count)]
    return [(body, method.delivery_tag) for method, _properties, body in got if method]


def bodies(vhost: VirtualHost, queue: str) -> list[bytes]:
    return [message.body for message in vhost.take_all(queue)]


@GIVEN_BACK
def test_the_dead_letters_may_be_listed_again_and_again(
    vhost: VirtualHost, give_back: Callable[[Any, int], None]
) -> None:
    vhost.declare_topology()
    dead = [b"1", b"2", b"3"]
    for body in dead:
        vhost.publish_raw(body, exchange=DEAD_EXCHANGE, lane=DEAD_KEY)

    for _listing in range(LISTINGS):
        with vhost.channel() as channel:
            listed = get(channel, DEAD_QUEUE, len(dead))
            assert [body for body, _tag in listed] == dead
            for _body, tag in listed:
                give_back(channel, tag)

    assert bodies(vhost, DEAD_QUEUE) == dead


@GIVEN_BACK
def test_thirty_losses_of_its_consumer_do_not_dead_letter_healthy_mail(
    vhost: VirtualHost, give_back: Callable[[Any, int], None]
) -> None:
    vhost.declare_topology()
    mails = [b"1", b"2", b"3"]
    for body in mails:
        vhost.publish_raw(body)

    for _loss in range(LOSSES):
        with vhost.channel() as channel:
            for _body, tag in get(channel, QUEUE, len(mails)):
                give_back(channel, tag)

    assert bodies(vhost, DEAD_QUEUE) == []
    assert bodies(vhost, QUEUE) == mails


@GIVEN_BACK
def test_requeued_messages_come_before_those_published_after_them(
    vhost: VirtualHost, give_back: Callable[[Any, int], None]
) -> None:
    vhost.declare_topology()
    mails = [str(number).encode() for number in range(10)]
    for body in mails:
        vhost.publish_raw(body)

    with vhost.channel() as channel:
        for _body, tag in get(channel, QUEUE, 5):
            give_back(channel, tag)

    assert bodies(vhost, QUEUE) == mails
