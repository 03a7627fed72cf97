"""The topology on a real broker: made idempotently, compared, and never replaced."""

import time
from datetime import timedelta

import pytest

from consumer.amqp import declare
from consumer.amqp.connection import BrokerUnavailable, blocking_connection
from consumer.core.topology import Topology, topology
from tests.support.broker import LADDER, Broker, VirtualHost
from tests.support.smtp_sink import free_port

WANTED: Topology = topology(LADDER)
LANE = "email.transactional.v1"


def test_applying_twice_makes_all_and_then_nothing_differs(vhost: VirtualHost) -> None:
    declare.apply((vhost.url,), WANTED)
    declare.apply((vhost.url,), WANTED)

    assert declare.check((vhost.url,), WANTED) == ()


def test_a_message_goes_from_the_ladder_back_to_its_lane(vhost: VirtualHost) -> None:
    declare.apply((vhost.url,), WANTED)

    vhost.publish_raw(b"{}", exchange="email.retry", lane="bulk.1s")

    vhost.wait_for_depth("email.bulk.v1", 1)


def test_what_is_missing_is_named_with_its_cure(vhost: VirtualHost) -> None:
    differences = declare.check((vhost.url,), WANTED)

    assert {difference.name for difference in differences} == {
        *WANTED.exchanges,
        *(queue.name for queue in WANTED.queues),
    }
    assert all("hopmail topology apply" in difference.cure for difference in differences)


def test_a_queue_of_another_shape_is_named_with_its_argument_and_left_alone(
    vhost: VirtualHost,
) -> None:
    with vhost.channel() as channel:
        channel.queue_declare(LANE, durable=True, arguments={"x-queue-type": "classic"})
    with vhost.channel() as channel:
        channel.basic_publish("", LANE, b"precious")

    with pytest.raises(declare.TopologyMismatch) as caught:
        declare.apply((vhost.url,), WANTED)

    (difference,) = caught.value.differences
    assert difference.name == LANE
    assert "x-" in difference.problem
    assert "\n" not in str(difference)
    assert vhost.take_all(LANE)[0].body == b"precious"


def test_the_differing_argument_is_told_with_both_values(vhost: VirtualHost) -> None:
    declare.apply((vhost.url,), WANTED)
    with vhost.channel() as channel:
        channel.queue_delete("email.bulk.retry.1s.v1")
        changed = {queue.name: dict(queue.arguments) for queue in WANTED.queues}
        channel.queue_declare(
            "email.bulk.retry.1s.v1",
            durable=True,
            arguments=changed["email.bulk.retry.1s.v1"] | {"x-message-ttl": 5000},
        )

    (difference,) = declare.check((vhost.url,), WANTED)

    assert str(difference).startswith(
        "email.bulk.retry.1s.v1: argument x-message-ttl is 5000, needs 1000"
    )


def test_a_login_that_may_only_read_goes_on_where_all_is_there(
    vhost: VirtualHost, broker: Broker
) -> None:
    declare.apply((vhost.url,), WANTED)
    reader = f"reader-{vhost.name}"
    broker.add_user(reader, vhost.name, "^$", "^$", ".*")
    url = vhost.url_for(reader)

    declare.apply((url,), WANTED)

    broker.request("DELETE", f"users/{reader}")


def test_a_login_that_may_only_read_says_what_is_missing(
    vhost: VirtualHost, broker: Broker
) -> None:
    reader = f"reader-{vhost.name}"
    broker.add_user(reader, vhost.name, "^$", "^$", ".*")

    with pytest.raises(declare.TopologyMismatch, match=f"{LANE}: is missing"):
        declare.apply((vhost.url_for(reader),), WANTED)

    broker.request("DELETE", f"users/{reader}")


def test_a_broker_that_is_not_there_is_named() -> None:
    port = free_port()

    with pytest.raises(BrokerUnavailable, match=f"127.0.0.1:{port}: .*refused"):
        declare.check((f"amqp://guest:guest@127.0.0.1:{port}/",), WANTED)


def test_a_wrong_password_is_said_in_words_and_never_quoted(broker: Broker) -> None:
    url = broker.url("/", "guest", "wr0ng-secret")

    with pytest.raises(BrokerUnavailable, match="refused the login") as caught:
        declare.check((url,), WANTED)

    assert "wr0ng-secret" not in str(caught.value)


def test_a_virtual_host_that_does_not_exist_is_said_in_words(broker: Broker) -> None:
    with pytest.raises(BrokerUnavailable, match="virtual host"):
        declare.check((broker.url("nowhere"),), WANTED)


def test_the_next_broker_is_asked_when_the_first_is_away(vhost: VirtualHost) -> None:
    away = f"amqp://guest:guest@127.0.0.1:{free_port()}/"

    declare.apply((away, vhost.url), WANTED)

    assert declare.check((vhost.url,), WANTED) == ()


def test_each_step_of_the_ladder_has_a_queue_per_lane() -> None:
    names = {queue.name for queue in topology((timedelta(seconds=30), timedelta(hours=4))).queues}

    assert {
        "email.transactional.retry.30s.v1",
        "email.transactional.retry.4h.v1",
        "email.bulk.retry.30s.v1",
        "email.bulk.retry.4h.v1",
    } < names


def test_a_connection_lost_amid_declaring_is_a_broker_that_is_not_available(
    vhost: VirtualHost,
) -> None:
    with pytest.raises(BrokerUnavailable, match=f"127.0.0.1:{vhost.broker.port}: "):
        lose_connection(vhost)


def lose_connection(vhost: VirtualHost) -> None:
    """Have the broker close it, again and again: it may not have counted a new one yet."""
    deadline = time.monotonic() + 30
    with blocking_connection((vhost.url,), "test") as connection:
        while time.monotonic() < deadline:
            vhost.close_connections()
            connection.process_data_events(1)
