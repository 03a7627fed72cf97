"""A delivery held longer than the broker allows.

RabbitMQ to 4.2 closes the channel for it, 4.3 cancels the consumer
(https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout).
"""

import json
import uuid
from collections import Counter
from collections.abc import Iterator

import pytest

from consumer.core.topology import DEAD_QUEUE, lane_queue
from dev.broker import private_node
from publisher_lib.routing import Lane
from tests.support.broker import Broker, VirtualHost
from tests.support.consumer_process import ConsumerProcess, consuming, wait_until
from tests.support.smtp_script import late
from tests.support.smtp_server import SmtpServer, smtp_server

QUEUE = lane_queue(Lane.TRANSACTIONAL)
TIMEOUT_SECONDS = 5
HELD_SECONDS = 12.0

# The broker looks once in this time which deliveries are late; by default once a minute.
LOOK_EACH_SECOND = ("-rabbit", "channel_tick_interval", "1000")


@pytest.fixture
def impatient() -> Iterator[VirtualHost]:
    """Return a virtual host on a broker that waits a few seconds for acks, not half an hour."""
    with private_node(
        management=True,
        settings={"consumer_timeout": TIMEOUT_SECONDS * 1000},
        arguments=LOOK_EACH_SECOND,
    ) as node:
        made = VirtualHost(Broker(node.url, node.management_url), f"t{uuid.uuid4().hex[:12]}")
        made.create()
        yield made
        made.delete()


def email(number: int) -> bytes:
    return json.dumps(
        {
            "email_to": f"user{number}@example.org",
            "email_from": "app@example.org",
            "subject": "Hello",
            "message": {"text": "Hello"},
        }
    ).encode()


def is_cut_off(process: ConsumerProcess) -> bool:
    """Say whether the broker has shown that it waits no longer, in the one way or the other."""
    events = "broker connection lost", "consumer cancelled by the broker"
    return any(process.events(event) for event in events)


def recipients(server: SmtpServer) -> Counter[str]:
    return Counter(recipient for mail in server.mails for recipient in mail.recipients)


@pytest.mark.brokers
@pytest.mark.timeout(120)
@pytest.mark.parametrize("stage", ["RCPT", "END_OF_DATA"])
def test_consuming_goes_on_after_a_delivery_was_held_too_long(
    impatient: VirtualHost, stage: str
) -> None:
    impatient.declare_topology()
    with (
        smtp_server({stage: [late(HELD_SECONDS, "250 2.0.0 ok")]}) as server,
        consuming(impatient.url, server.url, smtp_sessions=3) as process,
    ):
        impatient.publish_raw(email(0))
        wait_until(lambda: is_cut_off(process), 3 * TIMEOUT_SECONDS, "the broker's impatience")
        for number in range(1, 20):
            impatient.publish_raw(email(number))
        expected = {f"user{number}@example.org" for number in range(20)}
        wait_until(lambda: set(recipients(server)) == expected, 30, "every mail")
        wait_until(lambda: impatient.unsettled(QUEUE) == 0, 30, "the acks")
        # The session that is still held up has its end before the process's.
        assert process.terminate() == 0
        copies = recipients(server)
    assert impatient.take_all(DEAD_QUEUE) == []
    assert copies.total() == len(expected)
