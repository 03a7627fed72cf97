"""The sampler against a real broker: what it counts, what it survives, what it leaves alone."""

import json
import logging
import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pika
import pytest

from consumer.amqp import declare, queue_sampler
from consumer.amqp.queue_sampler import FILE, QueueSampler
from consumer.amqp.seen_empty import SeenEmpty
from consumer.core.delivery import Delivery, Properties
from consumer.core.permissions import CONSUMER, OPERATOR, Role
from consumer.core.topology import (
    DEAD_KEY,
    DEAD_QUEUE,
    lane_queue,
    retry_key,
    retry_queue,
    topology,
)
from consumer.core.waiting import Stock
from dev.broker import private_node
from publisher_lib.routing import DEAD_EXCHANGE, PUBLISHED_AT_MS, RETRY_EXCHANGE, Lane
from tests.support.broker import VirtualHost
from tests.support.consumer_process import wait_until
from tests.support.hung_broker import hung

LADDER = (timedelta(minutes=2), timedelta(minutes=10))
TRANSACTIONAL, BULK = map(lane_queue, Lane)
RETRY = retry_queue(Lane.BULK, LADDER[0])


class Sampling:
    """A running sampler, and what it showed last."""

    def __init__(self, urls: tuple[str, ...], state_dir: Path) -> None:
        self.stocks: dict[str, Stock] = {}
        self.looked_seconds = 0.0
        self.looks = 0
        self.sampler = QueueSampler(urls, LADDER, state_dir, self._show)
        self.sampler.start()

    def _show(self, stocks: Sequence[Stock], looked_seconds: float) -> None:
        self.stocks = {stock.place.queue: stock for stock in stocks}
        self.looked_seconds = looked_seconds
        self.looks += 1

    def counts(self) -> dict[str, int]:
        """Return how many messages wait where there are any."""
        return {
            name: each.count.messages for name, each in self.stocks.items() if each.count.messages
        }

    def age(self, queue: str) -> float:
        """Return for how long the oldest message of a queue has waited, at most."""
        return self.looked_seconds - self.stocks[queue].oldest_seconds

    def wait_for_looks(self, more: int = 2) -> None:
        """Wait until it has looked again, so often."""
        wanted = self.looks + more
        wait_until(lambda: self.looks >= wanted, what="further looks")


@contextmanager
def sampling(urls: tuple[str, ...], state_dir: Path) -> Iterator[Sampling]:
    running = Sampling(urls, state_dir)
    try:
        yield running
    finally:
        running.sampler.close(10)
        assert not running.sampler._thread.is_alive()


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_sampler, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(queue_sampler, "AGAIN_SECONDS", 0.1)


@pytest.fixture
def vhost(vhost: VirtualHost) -> VirtualHost:
    vhost.declare_topology(LADDER)
    return vhost


def fill(vhost: VirtualHost) -> dict[str, int]:
    """Put messages into a lane, a retry queue and the dead-letter queue; return how many each."""
    for _ in range(3):
        vhost.publish_raw(b"{}", lane=Lane.BULK)
    for _ in range(2):
        key = retry_key(Lane.BULK, LADDER[0])
        vhost.publish_raw(b"{}", lane=key, exchange=RETRY_EXCHANGE)
    vhost.publish_raw(b"{}", lane=DEAD_KEY, exchange=DEAD_EXCHANGE)
    return {BULK: 3, RETRY: 2, DEAD_QUEUE: 1}


def taken(lane: Lane, published_ms: int) -> Delivery:
    properties = Properties(headers={PUBLISHED_AT_MS: published_ms})
    return Delivery(lane, 1, 1, False, properties, b"", 0.0)  # noqa: FBT003 - a record


def test_it_counts_what_is_there_and_touches_nothing(vhost: VirtualHost, tmp_path: Path) -> None:
    expected = fill(vhost)

    with sampling((vhost.url,), tmp_path) as running:
        running.wait_for_looks()
        assert running.counts() == expected
        assert len(running.stocks) == 2 + 4 + 1

        with vhost.channel() as channel:
            channel.basic_consume(TRANSACTIONAL, print)
            wait_until(lambda: running.stocks[TRANSACTIONAL].count.consumers == 1)

    # RabbitMQ 4.3 has no such header before the second delivery.
    taken = vhost.take_all(BULK)
    assert [message.headers.get("x-delivery-count", 0) for message in taken] == [0, 0, 0]


def test_the_age_is_bounded_by_when_a_queue_was_empty_what_was_taken_and_its_delay(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    with vhost.channel() as channel, sampling((vhost.url,), tmp_path) as running:
        consumer = channel.basic_consume(BULK, print)
        running.wait_for_looks(3)
        assert running.stocks[DEAD_QUEUE].oldest_seconds == 0
        channel.basic_cancel(consumer)
        before = time.time()
        fill(vhost)
        running.wait_for_looks()

        ages = {queue: running.age(queue) for queue in (BULK, RETRY, DEAD_QUEUE)}
        since_seconds = running.looked_seconds - before
        assert all(0 <= age <= since_seconds + 5 for age in ages.values()), ages
        assert all(running.stocks[queue].oldest_seconds <= before + 1 for queue in ages)


def test_without_a_past_an_age_is_not_known_but_where_the_queue_has_a_delay(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    fill(vhost)

    with sampling((vhost.url,), tmp_path) as running:
        running.wait_for_looks()
        assert math.isnan(running.age(BULK))
        assert math.isnan(running.age(DEAD_QUEUE))
        assert running.age(RETRY) == pytest.approx(120)

        published = running.looked_seconds - 30
        running.sampler.took(taken(Lane.BULK, int(published * 1000)))
        running.wait_for_looks()
        assert running.stocks[BULK].oldest_seconds == pytest.approx(published, abs=0.01)
        assert running.age(RETRY) == pytest.approx(120)


def test_a_restarted_sampler_knows_since_when_a_queue_is_not_empty(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    with sampling((vhost.url,), tmp_path) as running:
        vhost.publish_raw(b"{}")
        wait_until(lambda: DEAD_QUEUE in running.sampler._stocks.seen_empty)
        wait_until(lambda: RETRY in SeenEmpty(tmp_path / FILE, _broker_of(tmp_path)).read())
    fill(vhost)

    with sampling((vhost.url,), tmp_path) as again:
        again.wait_for_looks()
        known = again.stocks[DEAD_QUEUE].oldest_seconds
        assert known == json.loads((tmp_path / FILE).read_text())["seen_empty"][DEAD_QUEUE]
        assert 0 <= again.age(DEAD_QUEUE) < 60
        assert math.isnan(again.age(TRANSACTIONAL))


def _broker_of(state_dir: Path) -> str:
    path = state_dir / FILE
    return str(json.loads(path.read_text())["broker"]) if path.exists() else ""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"7",
        b"{}",
        b'{"broker": "127.0.0.1:5672/x"}',
        b'{"broker": "127.0.0.1:5672/x", "seen_empty": 7}',
        b'{"broker": "127.0.0.1:5672/x", "seen_empty": {"q": "soon"}}',
        b'{"broker": "127.0.0.1:5672/x", "seen_empty": {"q": null}}',
        b'{"broker": "elsewhere:5672/x", "seen_empty": {"q": 7}}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_file_or_another_broker_s_says_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)

    assert SeenEmpty(tmp_path / FILE, "127.0.0.1:5672/x").read() == {}


def test_what_was_written_is_read_back_and_has_no_password(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    file = SeenEmpty(tmp_path / "made" / FILE, "b")
    file.write({"q": 7.25})

    assert file.read() == {"q": 7.25}
    assert [path.name for path in (tmp_path / "made").iterdir()] == [FILE]
    with sampling((vhost.url,), tmp_path) as running:
        running.wait_for_looks()
    assert vhost.url.split("@")[1].split("/")[0] in _broker_of(tmp_path)
    assert "password" not in (tmp_path / FILE).read_text()


def test_it_comes_back_when_the_broker_closes_its_connection(
    vhost: VirtualHost, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with sampling((vhost.url,), tmp_path) as running:
        running.wait_for_looks()
        before = running.sampler._connection

        def is_closed() -> bool:
            vhost.close_connections()
            return not before.is_open

        wait_until(is_closed, what="the end of its connection")
        running.wait_for_looks()

        assert running.sampler._connection is not before
        assert "queues not looked at" in [line.getMessage() for line in caplog.records]


def test_an_address_that_hangs_gives_way_to_the_next(vhost: VirtualHost, tmp_path: Path) -> None:
    vhost.publish_raw(b"{}")

    with hung(vhost.url) as urls, sampling(tuple(urls.split(",")), tmp_path) as running:
        wait_until(lambda: running.counts() == {TRANSACTIONAL: 1}, 20, "a look")


@pytest.mark.parametrize("role", [CONSUMER, OPERATOR], ids=["consumer", "operator"])
def test_the_rights_of_a_consumer_or_operator_are_enough(
    vhost: VirtualHost, tmp_path: Path, role: Role
) -> None:
    expected = fill(vhost)
    login = f"least-{vhost.name}"
    vhost.broker.add_user(login, vhost.name, role.configure, role.write, role.read)

    try:
        with sampling((vhost.url_for(login),), tmp_path) as running:
            running.wait_for_looks()
            assert running.counts() == expected
    finally:
        vhost.broker.request("DELETE", f"users/{login}")


def test_a_queue_that_is_not_there_holds_nothing_and_hides_no_other(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    expected = fill(vhost)
    with vhost.channel() as channel:
        channel.queue_delete(TRANSACTIONAL)
        channel.queue_delete(retry_queue(Lane.BULK, LADDER[1]))

    with sampling((vhost.url,), tmp_path) as running:
        running.wait_for_looks()
        assert running.counts() == expected
        assert running.stocks[TRANSACTIONAL].count.messages == 0
        vhost.declare_topology(LADDER)
        vhost.publish_raw(b"{}")
        wait_until(lambda: running.counts() == expected | {TRANSACTIONAL: 1})


def test_a_broker_that_lost_its_queues_for_a_while_makes_no_message_younger(tmp_path: Path) -> None:
    """It tells of each that there is nothing in it."""
    with private_node() as node:
        declare.apply((node.url,), topology(LADDER))
        with pika.BlockingConnection(pika.URLParameters(node.url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.basic_publish(DEAD_EXCHANGE, DEAD_KEY, b"{}")
        with sampling((node.url,), tmp_path) as running:
            running.wait_for_looks()
        known = {DEAD_QUEUE: 1_795_521_600.0}
        SeenEmpty(tmp_path / FILE, _broker_of(tmp_path)).write(known)

        with sampling((node.url,), tmp_path) as running:
            wait_until(lambda: running.counts() == {DEAD_QUEUE: 1}, what="its message")
            server = f"{{'%2F_{DEAD_QUEUE}', node()}}"
            node.control("eval", f"ra:stop_server(quorum_queues, {server}).")
            wait_until(lambda: running.counts() == {}, what="nothing")
            running.wait_for_looks()
            node.control("eval", f"ra:restart_server(quorum_queues, {server}).")
            wait_until(lambda: running.counts() == {DEAD_QUEUE: 1}, what="its message again")

            assert running.stocks[DEAD_QUEUE].oldest_seconds == known[DEAD_QUEUE]


def test_a_bug_in_what_is_shown_is_logged_and_ends_nothing(
    vhost: VirtualHost, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    looks: list[float] = []

    def explode(_stocks: object, looked_seconds: float) -> None:
        looks.append(looked_seconds)
        raise ZeroDivisionError("secret")

    sampler = QueueSampler((vhost.url,), LADDER, tmp_path, explode)
    sampler.start()
    wait_until(lambda: len(looks) > 2)
    sampler.close(10)

    (line,) = [line for line in caplog.records if line.getMessage() == "queues not looked at"]
    assert line.__dict__["detail"].startswith("ZeroDivisionError in ")


def test_a_file_that_cannot_be_written_is_told_once(
    vhost: VirtualHost, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    caplog.set_level(logging.WARNING)

    with sampling((vhost.url,), tmp_path / "file") as running:
        running.wait_for_looks(3)

    assert [line.getMessage() for line in caplog.records] == ["queues' file not written"]


def test_heartbeats_are_answered_between_looks(
    vhost: VirtualHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_sampler, "LOOK_SECONDS", 8.0)
    with sampling((f"{vhost.url}?heartbeat=1",), tmp_path) as running:
        wait_until(lambda: running.looks >= 2)
        before = running.sampler._connection
        running.wait_for_looks(1)

        assert running.sampler._connection is before


def test_it_ends_at_once(
    vhost: VirtualHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_sampler, "LOOK_SECONDS", 600.0)
    with sampling((vhost.url,), tmp_path) as running:
        wait_until(lambda: running.looks >= 2)

    assert not any(thread.name == "queues" for thread in threading.enumerate())
