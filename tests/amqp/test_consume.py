"""Consuming from a real broker: tags, reconnects, cancels, holds and what pika cannot read."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pika
import pytest

from consumer.amqp.consume import Consumer
from consumer.amqp.unacked import Unacked
from consumer.core.delivery import Delivery, Properties
from consumer.core.topology import lane_queue, topology
from publisher_lib.routing import Lane
from tests.support.broker import LADDER, VirtualHost
from tests.support.consumer_process import wait_until
from tests.support.deliveries import Deliveries
from tests.support.malformed import SHAPES, publish_malformed

QUEUE = lane_queue(Lane.TRANSACTIONAL)
SOON_SECONDS = 10.0


class Consuming:
    """A running consumer and its inbox."""

    def __init__(self, vhost: VirtualHost, prefetch: int = 10) -> None:
        self.inbox = Deliveries()
        self.consumer = Consumer((vhost.url,), topology(LADDER), prefetch)
        self.consumer.start(self.inbox)

    def take(self) -> Delivery:
        """Return the next delivery."""
        return self.inbox.take(SOON_SECONDS)


@contextmanager
def consuming(vhost: VirtualHost, prefetch: int = 10) -> Iterator[Consuming]:
    running = Consuming(vhost, prefetch)
    try:
        wait_until(lambda: running.consumer.is_connected, SOON_SECONDS, "a connection")
        yield running
    finally:
        assert running.consumer.close(SOON_SECONDS)


def lose_connection(vhost: VirtualHost, running: Consuming) -> None:
    """Have the broker end the connection, and wait until there is another."""
    vhost.close_connections()
    wait_until(lambda: not running.consumer.is_connected, what="the loss")
    wait_until(lambda: running.consumer.is_connected, SOON_SECONDS, "a new connection")


@pytest.mark.parametrize(("prefetch", "of_bulk"), [(10, 2), (1, 1)])
def test_of_bulk_a_quarter_is_held(vhost: VirtualHost, prefetch: int, of_bulk: int) -> None:
    with consuming(vhost, prefetch=prefetch) as running:
        for lane in Lane:
            for _ in range(12):
                vhost.publish_raw(b"{}", lane=lane)
        taken = [running.take().lane for _ in range(prefetch + of_bulk)]

        assert taken.count(Lane.BULK) == of_bulk
        vhost.wait_for_depth(QUEUE, 12 - prefetch)
        vhost.wait_for_depth(lane_queue(Lane.BULK), 12 - of_bulk)


def test_what_is_acked_is_gone_and_the_rest_is_requeued_at_the_end(vhost: VirtualHost) -> None:
    with consuming(vhost) as running:
        for body in (b"1", b"2", b"3"):
            vhost.publish_raw(body)
        first = running.take()
        running.take()
        running.consumer.ack(first)

    vhost.wait_for_depth(QUEUE, 2)
    assert [message.body for message in vhost.take_all(QUEUE)] == [b"2", b"3"]


def test_a_later_ack_leaves_earlier_deliveries_alone(vhost: VirtualHost) -> None:
    with consuming(vhost) as running:
        for body in (b"1", b"2", b"3"):
            vhost.publish_raw(body)
        deliveries = [running.take() for _ in range(3)]
        running.consumer.ack(deliveries[2])

    vhost.wait_for_depth(QUEUE, 2)
    assert [message.body for message in vhost.take_all(QUEUE)] == [b"1", b"2"]


def test_properties_arrive_as_they_were_published(vhost: VirtualHost) -> None:
    with consuming(vhost) as running:
        vhost.publish_raw(
            b"{}",
            url=vhost.app_url,
            user_id=f"webapp-{vhost.name}",
            app_id="shop",
            timestamp=1_795_521_600,
            content_encoding="utf-8",
            headers={"traceparent": "00-a-b-01"},
            message_id="order-1",
        )
        delivery = running.take()

    found = delivery.properties
    assert (found.message_id, found.type, found.content_type) == (
        "order-1",
        "email.v1",
        "application/json",
    )
    assert (found.user_id, found.app_id) == (f"webapp-{vhost.name}", "shop")
    assert (found.timestamp_seconds, found.content_encoding) == (1_795_521_600, "utf-8")
    assert found.headers == {"traceparent": "00-a-b-01"}
    assert delivery.redelivered is False


def test_after_a_lost_connection_old_tags_ack_nothing_and_everything_comes_again(
    vhost: VirtualHost,
) -> None:
    with consuming(vhost) as running:
        vhost.publish_raw(b"1")
        vhost.publish_raw(b"2")
        old = running.take()
        wait_until(lambda: len(running.inbox) == 1, what="the second delivery")

        lose_connection(vhost, running)
        again = [running.take(), running.take()]
        running.consumer.ack(old)

        assert [delivery.body for delivery in again] == [b"1", b"2"]
        assert all(delivery.redelivered for delivery in again)
        assert again[0].generation > old.generation
        assert not running.consumer.is_current(old)
        assert running.consumer.is_current(again[0])

    vhost.wait_for_depth(QUEUE, 2)


def test_what_waited_in_the_inbox_of_a_lost_connection_is_not_handed_out_twice(
    vhost: VirtualHost,
) -> None:
    with consuming(vhost) as running:
        vhost.publish_raw(b"1")
        wait_until(lambda: len(running.inbox) == 1, what="a delivery")

        lose_connection(vhost, running)
        delivery = running.take()

        assert running.consumer.is_current(delivery)
        assert not running.inbox.come_within(0.2)


def test_a_queue_deleted_under_the_consumer_is_made_again_and_consumed(vhost: VirtualHost) -> None:
    with consuming(vhost) as running:
        vhost.publish_raw(b"before", lane=Lane.BULK)
        before = running.take()
        with vhost.channel() as channel:
            channel.queue_delete(QUEUE)
        wait_until(lambda: is_routed(vhost, b"after"), SOON_SECONDS, "the queue and its binding")

        assert running.take().body == b"after"
        assert running.consumer.is_current(before), "the other lane did not notice"


def is_routed(vhost: VirtualHost, body: bytes) -> bool:
    try:
        vhost.publish_raw(body)
    except pika.exceptions.UnroutableError:
        return False
    return True


def test_holding_stops_deliveries_until_everybody_has_released(vhost: VirtualHost) -> None:
    with consuming(vhost) as running:
        running.consumer.hold("relay")
        running.consumer.hold("full")
        wait_until(lambda: vhost.consumers_of(QUEUE) == 0, what="the consumer's cancel")
        vhost.publish_raw(b"1")

        running.consumer.release("relay")
        assert not running.inbox.come_within(0.3)
        running.consumer.release("full")

        assert running.take().body == b"1"


def test_a_hold_outlives_a_reconnect(vhost: VirtualHost) -> None:
    with consuming(vhost) as running:
        running.consumer.hold("relay")
        wait_until(lambda: vhost.consumers_of(QUEUE) == 0, what="the consumer's cancel")
        vhost.publish_raw(b"1")

        lose_connection(vhost, running)
        assert not running.inbox.come_within(0.3)
        running.consumer.release("relay")

        assert running.take().body == b"1"


def test_no_more_is_held_than_the_prefetch_allows(vhost: VirtualHost) -> None:
    with consuming(vhost, prefetch=2) as running:
        for number in range(5):
            vhost.publish_raw(str(number).encode())
        wait_until(lambda: len(running.inbox) == 2, what="two deliveries")
        vhost.wait_for_depth(QUEUE, 3)

        running.consumer.ack(running.take())

        wait_until(lambda: len(running.inbox) == 2, what="the next delivery")


@pytest.mark.parametrize("shape", SHAPES)
def test_headers_that_cannot_be_decoded_cost_only_their_own_message(
    vhost: VirtualHost, shape: str
) -> None:
    with consuming(vhost) as running:
        publish_malformed(vhost, shape, body=b"odd", message_id="m-odd")
        vhost.publish_raw(b"even")
        odd, even = running.take(), running.take()

        assert (odd.body, even.body) == (b"odd", b"even")
        assert odd.generation == even.generation, "the connection stood"
        assert odd.properties.message_id == "m-odd"
        assert "cannot be decoded" in odd.properties.undecodable
        assert even.properties.undecodable == ""


def test_an_error_in_handling_a_delivery_gives_everything_back_at_once(vhost: VirtualHost) -> None:
    def explode(delivery: Delivery) -> None:
        raise ZeroDivisionError(delivery.tag)

    inbox = Deliveries()
    consumer = Consumer((vhost.url,), topology(LADDER), 10)
    put: Any = inbox.put
    inbox.put = explode  # type: ignore[method-assign]  # stands for any bug on the I/O thread
    consumer.start(inbox)
    wait_until(lambda: consumer.is_connected, SOON_SECONDS, "a connection")
    vhost.publish_raw(b"1")
    wait_until(lambda: not consumer.is_connected, SOON_SECONDS, "the failure")

    inbox.put = put  # type: ignore[method-assign]  # the bug is gone
    delivery = inbox.take(SOON_SECONDS)

    assert delivery.redelivered
    assert consumer.close(SOON_SECONDS)
    assert not any(thread.name == "amqp" for thread in threading.enumerate())


def test_an_error_in_a_callback_gives_everything_back_at_once(vhost: VirtualHost) -> None:
    with consuming(vhost) as running:
        vhost.publish_raw(b"1")
        first = running.take()
        link = running.consumer._link
        assert link is not None

        link.call([].pop)

        again = running.take()
        assert (again.body, again.redelivered) == (b"1", True)
        assert again.generation > first.generation


def test_a_topology_of_another_shape_ends_consuming_with_its_reason(vhost: VirtualHost) -> None:
    with vhost.channel() as channel:
        channel.queue_declare(QUEUE, durable=True)
    consumer = Consumer((vhost.url,), topology(LADDER), 10)
    consumer.start(Deliveries())

    wait_until(lambda: consumer.mismatch is not None, SOON_SECONDS, "the mismatch")

    assert consumer.close(SOON_SECONDS)
    assert QUEUE in str(consumer.mismatch)


def test_what_is_unacked_is_known_until_it_is_acked(vhost: VirtualHost) -> None:
    with consuming(vhost) as running:
        for lane in (Lane.TRANSACTIONAL, Lane.BULK, Lane.TRANSACTIONAL):
            vhost.publish_raw(b"{}", lane=lane)
        first, *others = (running.take() for _ in range(3))
        unacked = running.consumer.unacked
        assert {each.tag for each in unacked.deliveries()} == {1, 2, 3}

        running.consumer.ack(first)
        wait_until(lambda: unacked.deliveries() == others, what="the ack")
        for each in others:
            running.consumer.ack(each)
        wait_until(lambda: unacked.deliveries() == [], what="the acks")

        assert unacked.received == {
            (Lane.TRANSACTIONAL, False): 2,
            (Lane.TRANSACTIONAL, True): 0,
            (Lane.BULK, False): 1,
            (Lane.BULK, True): 0,
        }


def test_with_its_connection_what_was_unacked_is_gone_and_counts_when_it_comes_again(
    vhost: VirtualHost,
) -> None:
    with consuming(vhost) as running:
        for _ in range(2):
            vhost.publish_raw(b"{}")
            running.take()
        unacked = running.consumer.unacked
        running.consumer.hold("test")
        before = unacked.connections

        lose_connection(vhost, running)
        while_held = unacked.deliveries()
        running.consumer.release("test")
        anew = [running.take() for _ in range(2)]

        assert (before, unacked.connections) == (1, 2)
        assert while_held == []
        assert unacked.deliveries() == anew
        assert unacked.received[Lane.TRANSACTIONAL, False] == 2
        assert unacked.received[Lane.TRANSACTIONAL, True] == 2


def test_who_holds_a_lane_or_all_is_known(vhost: VirtualHost) -> None:
    with consuming(vhost, prefetch=8) as running:
        consumer = running.consumer
        assert consumer.holders == frozenset()
        consumer.hold("full", (Lane.BULK,))
        consumer.hold("relay")
        assert consumer.holders == {"full", "relay"}
        consumer.release("relay")
        assert consumer.holders == {"full"}
        assert consumer.prefetch == {Lane.TRANSACTIONAL: 8, Lane.BULK: 2}


def test_what_is_unacked_can_be_read_while_it_changes() -> None:
    unacked, done = Unacked(), threading.Event()

    def read() -> None:
        while not done.is_set():
            read_lengths.append(len(unacked.deliveries()))

    read_lengths: list[int] = []
    with ThreadPoolExecutor(1) as readers:
        reading = readers.submit(read)
        for tag in range(50_000):
            unacked.came(delivered(tag))
            if tag >= 100:
                unacked.acked((tag - 100,))
        done.set()
        reading.result(10)

    assert max(read_lengths) <= 101
    assert len(unacked.deliveries()) == 100


def delivered(tag: int) -> Delivery:
    return Delivery(
        lane=Lane.BULK,
        tag=tag,
        generation=1,
        redelivered=False,
        properties=Properties(),
        body=b"",
        received_seconds=0.0,
    )
