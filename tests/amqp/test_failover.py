"""A list of brokers of which some are away or hang."""

import pytest

from consumer.amqp.connection import BrokerUnavailable, blocking_connection
from consumer.amqp.consume import Consumer
from consumer.core.topology import topology
from publisher_lib.broker_url import STACK_TIMEOUT_SECONDS
from tests.support.broker import LADDER, VirtualHost
from tests.support.consumer_process import wait_until
from tests.support.deliveries import Deliveries
from tests.support.hung_broker import hung

SPARE_SECONDS = 5.0


def test_consuming_begins_in_time_though_the_first_brokers_hang(vhost: VirtualHost) -> None:
    count = 2
    with hung(vhost.url, count) as urls:
        inbox = Deliveries()
        consumer = Consumer(tuple(urls.split(",")), topology(LADDER), 10)
        consumer.start(inbox)
        try:
            # Each of them is tried once, not once for declaring and once for consuming.
            seconds = count * STACK_TIMEOUT_SECONDS + SPARE_SECONDS
            wait_until(lambda: consumer.is_connected, seconds, "a connection")
            vhost.publish_raw(b"1")
            assert inbox.take(SPARE_SECONDS).body == b"1"
        finally:
            assert consumer.close(SPARE_SECONDS)


def test_a_broker_that_hangs_is_passed_over_where_one_answers(vhost: VirtualHost) -> None:
    with hung(vhost.url) as urls, blocking_connection(tuple(urls.split(",")), "test") as connection:
        assert connection.is_open


def test_a_broker_that_hangs_is_named_with_what_it_does(vhost: VirtualHost) -> None:
    with (
        hung(vhost.url) as urls,
        pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:\d+: it accepts .* does not answer"),
        blocking_connection(tuple(urls.split(","))[:1], "test"),
    ):
        pytest.fail("nobody answered")
