"""What waits on the broker, the ledger and the log, in the files of real workers."""

import json
import socket
import time
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from consumer.core.topology import DEAD_KEY, DEAD_QUEUE, lane_queue, retry_key, retry_queue
from publisher_lib.routing import DEAD_EXCHANGE, PUBLISHED_AT_MS, RETRY_EXCHANGE, Lane
from tests.support.broker import VirtualHost
from tests.support.consumer_process import consuming, state_folder, wait_until
from tests.support.smtp_script import say, silence
from tests.support.smtp_server import smtp_server

DELAYS = (timedelta(minutes=2), timedelta(minutes=10))
LANE, BULK = map(lane_queue, Lane)
RETRY = retry_queue(Lane.BULK, DELAYS[1])
LOOKS_SECONDS = 40.0
EMAIL = json.dumps(
    {
        "email_to": "ada@example.org",
        "email_from": "app@example.org",
        "subject": "Hello",
        "message": {"text": "Hello"},
    }
).encode()


SETTINGS = {"retry_delays": "2m,10m", "smtp_sessions": 1, "prefetch": 2, "processes": 2}


def figures(vhost: VirtualHost, worker: int) -> dict[str, float]:
    """Return a worker's figures by name and, of queues and levels, that label's value."""
    path = state_folder(vhost.url) / "metrics" / f"hopmail-{socket.gethostname()}-{worker}.prom"
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(path.read_text()):
        for sample in family.samples:
            labels = [sample.labels.get(name, "") for name in ("queue", "level")]
            found[" ".join(filter(None, (sample.name, *labels)))] = sample.value
    return found


def publish(vhost: VirtualHost, count: int, published: float) -> None:
    for _ in range(count):
        vhost.publish_raw(EMAIL, headers={PUBLISHED_AT_MS: int(published * 1000)})


def test_a_host_s_first_worker_tells_what_waits_and_since_when(vhost: VirtualHost) -> None:
    vhost.declare_topology(DELAYS)
    published = float(int(time.time()) - 300)
    publish(vhost, 1, published)
    publish(vhost, 6, published + 100)
    for _ in range(3):
        key = retry_key(Lane.BULK, DELAYS[1])
        vhost.publish_raw(EMAIL, lane=key, exchange=RETRY_EXCHANGE)
    vhost.publish_raw(EMAIL, lane=DEAD_KEY, exchange=DEAD_EXCHANGE)
    found: dict[str, float] = {}

    def is_told() -> bool:
        found.update(figures(vhost, 0))
        # The first look may have come before the first mail was refused.
        return found[f"hopmail_queue_messages {DEAD_QUEUE}"] == 2

    with (
        smtp_server({"RCPT": [say("550 5.1.1 no such mailbox"), silence()]}) as server,
        consuming(vhost.url, server.url, **SETTINGS),
    ):
        wait_until(is_told, LOOKS_SECONDS, "a second dead letter")

    waiting = {name: found[f"hopmail_queue_messages {name}"] for name in (LANE, BULK, RETRY)}
    oldest = {name: found[f"hopmail_queue_oldest_timestamp_seconds {name}"] for name in waiting}
    looked = found["hopmail_queue_sample_timestamp_seconds"]
    assert waiting == {LANE: 4, BULK: 0, RETRY: 3}
    assert oldest == {LANE: published, BULK: 0, RETRY: pytest.approx(looked - 600)}
    assert found[f"hopmail_queue_consumers {LANE}"] == 1
    assert found[f"hopmail_queue_consumers {DEAD_QUEUE}"] == 0


def test_every_worker_tells_of_ledger_log_and_its_fellows_and_the_first_alone_of_queues(
    vhost: VirtualHost,
) -> None:
    with smtp_server() as server, consuming(vhost.url, server.url, **SETTINGS, worker=1):
        publish(vhost, 1, time.time())
        path = state_folder(vhost.url) / "metrics"
        wait_until(lambda: list(path.glob("*-1.prom")))
        wait_until(lambda: figures(vhost, 1)["hopmail_ledger_write_seconds_count"] >= 2)
        found = figures(vhost, 1)

    assert not [name for name in found if name.startswith("hopmail_queue_")]
    assert found["hopmail_processes"] == 1, "somebody else supervises it"
    assert found["hopmail_ledger_bytes"] > 0
    assert found["hopmail_log_messages_total INFO"] >= 2
    assert found["hopmail_log_messages_total CRITICAL"] == 0
