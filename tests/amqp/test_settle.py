"""Publish what must follow, await its confirm, then ack; in doubt, no ack."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pika
import pytest

from consumer.amqp import consume as consume_module
from consumer.amqp import settle as settle_module
from consumer.amqp.consume import Consumer
from consumer.amqp.settle import Close, Settlement, Settler, as_it_is
from consumer.core.delivery import Delivery
from consumer.core.handled import Followup
from consumer.core.topology import DEAD_QUEUE, lane_queue, topology
from publisher_lib.confirms import ConfirmedPublisher
from publisher_lib.routing import DEAD_EXCHANGE, RETRY_EXCHANGE, Lane
from tests.support.broker import LADDER, VirtualHost
from tests.support.consumer_process import wait_until
from tests.support.deliveries import Deliveries

QUEUE = lane_queue(Lane.TRANSACTIONAL)
SOON_SECONDS = 10.0
DEAD = Followup(DEAD_EXCHANGE, "dead", {"x-hopmail-reason": "invalid"})
RETRY = Followup(RETRY_EXCHANGE, "transactional.2s", {"x-hopmail-attempt": 2})


class Settling:
    """A consumer, a settler and one delivery."""

    def __init__(self, vhost: VirtualHost, close: Close) -> None:
        self.inbox = Deliveries()
        self.consumer = Consumer((vhost.url,), topology(LADDER), 10)
        self.publisher = ConfirmedPublisher((vhost.url,))
        self.settler = Settler(self.consumer, self.publisher, f"hopmail-{vhost.name}", close)
        self.settled = threading.Event()
        self.committed = threading.Event()
        self.abandoned = threading.Event()

    def take(self) -> Delivery:
        return self.inbox.take(SOON_SECONDS)

    def settle(self, delivery: Delivery, followups: tuple[Followup, ...]) -> None:
        def commit(kept: Callable[[], None]) -> None:
            self.committed.set()
            kept()

        self.settler.settle(
            Settlement(delivery, followups, commit, self.settled.set, self.abandoned.set)
        )


@contextmanager
def settling(vhost: VirtualHost, close: Close = as_it_is) -> Iterator[Settling]:
    vhost.declare_topology()
    running = Settling(vhost, close)
    running.consumer.start(running.inbox)
    try:
        wait_until(lambda: running.consumer.is_connected, SOON_SECONDS, "a connection")
        yield running
    finally:
        assert running.consumer.close(SOON_SECONDS)
        running.publisher.close(1.0)


@pytest.fixture(autouse=True)
def _soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settle_module, "AGAIN_SECONDS", 0.2)


def test_with_nothing_to_follow_the_delivery_is_acked(vhost: VirtualHost) -> None:
    with settling(vhost) as running:
        vhost.publish_raw(b"1")
        running.settle(running.take(), ())
        assert running.settled.is_set()

    assert vhost.queue_depth(QUEUE) == 0


@pytest.mark.parametrize("followups", [(), (DEAD,)])
def test_what_was_not_kept_is_not_acked(
    vhost: VirtualHost, followups: tuple[Followup, ...]
) -> None:
    asked: list[Callable[[], None]] = []
    with settling(vhost) as running:
        vhost.publish_raw(b"1")
        delivery = running.take()
        running.settler.settle(
            Settlement(
                delivery, followups, asked.append, running.settled.set, running.abandoned.set
            )
        )
        wait_until(lambda: asked, SOON_SECONDS, "the commit")
        assert vhost.queue_depth(DEAD_QUEUE) == len(followups)
        assert not running.settler.wait_idle(0.3)
        assert not running.settled.is_set()

    vhost.wait_for_depth(QUEUE, 1)


def test_every_followup_is_on_the_broker_before_the_ack(vhost: VirtualHost) -> None:
    with settling(vhost) as running:
        vhost.publish_raw(b"1", message_id="m-1", app_id="shop", timestamp=1_795_521_600)
        running.settle(running.take(), (DEAD, RETRY))
        assert running.settled.wait(SOON_SECONDS)
        assert running.settler.wait_idle(SOON_SECONDS)

        (dead,) = vhost.dead_letters(1)

    assert vhost.queue_depth(QUEUE) == 0
    assert vhost.queue_depth("email.transactional.retry.2s.v1") == 1
    assert dead.body == b"1"
    assert dead.headers.items() >= DEAD.headers.items()
    properties = dead.properties
    assert (properties.message_id, properties.app_id, properties.timestamp) == (
        "m-1",
        "shop",
        1_795_521_600,
    )
    assert properties.user_id == f"hopmail-{vhost.name}"
    assert properties.delivery_mode == 2


def test_while_one_followup_cannot_be_published_nothing_is_acked(vhost: VirtualHost) -> None:
    with settling(vhost) as running:
        with vhost.channel() as channel:
            channel.exchange_delete(DEAD_EXCHANGE)
        vhost.publish_raw(b"1")

        running.settle(running.take(), (RETRY, DEAD))

        assert not running.settled.wait(1.0)
        assert not running.settler.wait_idle(0.1)
    vhost.wait_for_depth(QUEUE, 1)


def test_a_followup_that_was_refused_is_published_again_and_only_that(vhost: VirtualHost) -> None:
    with settling(vhost) as running:
        with vhost.channel() as channel:
            channel.queue_unbind(DEAD_QUEUE, DEAD_EXCHANGE, "dead")
        vhost.publish_raw(b"1")
        running.settle(running.take(), (RETRY, DEAD))
        assert not running.settled.wait(0.5)

        with vhost.channel() as channel:
            channel.queue_bind(DEAD_QUEUE, DEAD_EXCHANGE, "dead")

        assert running.settled.wait(SOON_SECONDS)
        assert len(vhost.take_all(DEAD_QUEUE)) == 1
        assert vhost.queue_depth("email.transactional.retry.2s.v1") == 1
    assert vhost.queue_depth(QUEUE) == 0


def test_a_full_queue_keeps_the_delivery_until_there_is_room(vhost: VirtualHost) -> None:
    with settling(vhost) as running:
        vhost.set_policy("full", f"^{DEAD_QUEUE}$", {"max-length": 1, "overflow": "reject-publish"})
        fill(vhost)
        vhost.publish_raw(b"1")
        running.settle(running.take(), (DEAD,))
        assert not running.settled.wait(1.0)

        vhost.delete_policy("full")

        assert running.settled.wait(SOON_SECONDS)
        assert [dead.body for dead in vhost.take_all(DEAD_QUEUE)].count(b"1") == 1
    assert vhost.queue_depth(QUEUE) == 0


def fill(vhost: VirtualHost) -> None:
    """Publish to the dead-letter queue until it takes no more; it overshoots its limit a little."""
    with suppress(pika.exceptions.NackError):
        while True:
            vhost.publish_raw(b"filler", exchange=DEAD_EXCHANGE, lane="dead")


def test_what_the_broker_took_back_is_left_to_it(vhost: VirtualHost) -> None:
    with settling(vhost) as running:
        with vhost.channel() as channel:
            channel.exchange_delete(DEAD_EXCHANGE)
        vhost.publish_raw(b"1")
        delivery = running.take()
        running.settle(delivery, (DEAD,))

        running.consumer.hold("test")
        vhost.close_connections()
        wait_until(lambda: not running.consumer.is_current(delivery), what="the loss")

        assert running.settler.wait_idle(SOON_SECONDS), "nobody tries for ever"
        assert running.abandoned.is_set()
        assert not running.committed.is_set()
        assert not running.settled.is_set()
    vhost.wait_for_depth(QUEUE, 1)


def test_a_retry_queue_that_went_away_is_made_again(
    vhost: VirtualHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consume_module, "REDECLARE_SECONDS", 0.1)
    with settling(vhost) as running:
        with vhost.channel() as channel:
            channel.queue_delete("email.transactional.retry.2s.v1")
        vhost.publish_raw(b"1")

        running.settle(running.take(), (RETRY,))

        assert running.settled.wait(SOON_SECONDS)
    vhost.wait_for_depth(QUEUE, 1)


def test_what_cannot_be_closed_is_neither_published_nor_acked_until_it_can(
    vhost: VirtualHost, caplog: pytest.LogCaptureFixture
) -> None:
    can_close = threading.Event()

    def close(delivery: Delivery, followup: Followup) -> Followup:
        if followup.exchange != DEAD_EXCHANGE:
            return followup
        if not can_close.is_set():
            raise MemoryError(f"no room for {delivery.body!r}")
        return replace(followup, body=b"closed")

    with settling(vhost, close) as running:
        vhost.publish_raw(b"secret")
        running.settle(running.take(), (RETRY, DEAD))
        wait_until(
            lambda: caplog.messages.count("follow-up not confirmed") > 1, what="a second try"
        )
        assert not running.committed.is_set()
        assert vhost.queue_depth(DEAD_QUEUE) == 0
        assert not running.settler.wait_idle(0.1)

        can_close.set()

        assert running.settled.wait(SOON_SECONDS)
        assert [dead.body for dead in vhost.take_all(DEAD_QUEUE)] == [b"closed"]
        (retry,) = vhost.take_all("email.transactional.retry.2s.v1")
        assert retry.body == b"secret"
    assert vhost.queue_depth(QUEUE) == 0
    assert {record.detail for record in caplog.records if hasattr(record, "detail")} == {
        "its body is still open: MemoryError"
    }


def test_ended_before_it_could_be_closed_it_is_left_to_the_broker(vhost: VirtualHost) -> None:
    def close(_delivery: Delivery, _followup: Followup) -> Followup:
        raise OSError

    with settling(vhost, close) as running:
        vhost.publish_raw(b"secret")
        running.settle(running.take(), (DEAD,))
        assert not running.settled.wait(0.5)

    vhost.wait_for_depth(QUEUE, 1)
    assert vhost.queue_depth(DEAD_QUEUE) == 0
