"""A broker of our own, out of memory and killed while emails are published."""

import threading
from collections.abc import Iterator
from datetime import timedelta

import pika
import pytest

from consumer.amqp import declare
from consumer.core.topology import topology
from dev.broker import Node, private_node
from publisher_lib import NotPublished, OutcomeUnknown, Publisher
from tests.publisher.emails import QUEUE, email
from tests.support.broker import LADDER
from tests.support.consumer_process import wait_until

PATIENT = timedelta(seconds=60)
SHORT = timedelta(seconds=0.5)


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with private_node() as started:
        declare.apply((started.url,), topology(LADDER))
        yield started


def take_ids(node: Node) -> list[str]:
    """Take every message out of the queue; return their ids."""
    connection = pika.BlockingConnection(pika.URLParameters(node.url))
    taken = []
    channel = connection.channel()
    while (got := channel.basic_get(QUEUE, auto_ack=True))[0] is not None:
        taken.append(got[1].message_id)
    connection.close()
    return taken


def test_a_broker_that_blocks_publishers_is_not_written_to_and_named(node: Node) -> None:
    with Publisher(node.url) as publisher:
        publisher.publish(email(), message_id="before")
        node.control("set_vm_memory_high_watermark", "absolute", "1")
        try:
            # The broker tells it blocks only when it is written to.
            with pytest.raises(OutcomeUnknown, match="blocks publishers"):
                publisher.publish(email(), message_id="first", timeout=SHORT)
            with pytest.raises(NotPublished, match=r"the broker blocks publishers \(low on memory"):
                publisher.publish(email(), message_id="second", timeout=SHORT)
            waiting = publisher.publish_nowait(email(), message_id="third", timeout=PATIENT)
        finally:
            node.control("set_vm_memory_high_watermark", "0.4")
        waiting.result(20)

    assert take_ids(node) == ["before", "first", "third"]


def test_every_receipt_given_around_a_kill_of_the_broker_is_on_the_queue(node: Node) -> None:
    receipts: list[str] = []

    def keep_publishing(name: str) -> None:
        for number in range(150):
            receipt = publisher.publish(email(number), message_id=f"{name}-{number}")
            receipts.append(receipt.message_id)

    with Publisher(node.url, timeout=PATIENT) as publisher:
        threads = [threading.Thread(target=keep_publishing, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(receipts) > 100)
        node.kill()
        confirmed_before = len(receipts)
        node.restart()
        for thread in threads:
            thread.join(60)

    assert confirmed_before < 600, "the kill came too late to matter"
    assert len(receipts) == 600
    assert set(take_ids(node)) == set(receipts)
