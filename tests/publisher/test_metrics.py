"""The figures of the web app's own registry equal what became of its emails."""

import subprocess
import sys
from concurrent.futures import CancelledError
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from publisher_lib import (
    InvalidEmail,
    Lane,
    NotPublished,
    OutcomeUnknown,
    Publisher,
    Rejected,
    Unroutable,
)
from publisher_lib.metrics import PublisherMetrics
from publisher_lib.observe import RESULTS
from tests.publisher.emails import QUEUE, email
from tests.publisher.proxy import proxied
from tests.support.broker import VirtualHost

SHORT = timedelta(seconds=1)
MESSAGES = "hopmail_publisher_messages_total"
CONFIRMS = "hopmail_publisher_confirm_seconds"


def counted(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    """Return the messages above zero, by lane and result."""
    found: dict[tuple[str, str], float] = {}
    for family in registry.collect():
        for sample in family.samples:
            if sample.name == MESSAGES and sample.value:
                found[sample.labels["lane"], sample.labels["result"]] = sample.value
    return found


def test_each_email_counts_once_under_what_became_of_it(vhost: VirtualHost) -> None:
    registry = CollectorRegistry()
    metrics = PublisherMetrics(registry)
    vhost.declare_topology()

    with proxied(vhost.app_url) as proxy, Publisher(proxy.url, metrics=metrics) as publisher:
        publisher.publish(email())
        publisher.publish_many([email(), email()], lane=Lane.BULK)
        with pytest.raises(InvalidEmail):
            publisher.publish({"email_to": "nobody"})
        proxy.answers.clear()
        with pytest.raises(OutcomeUnknown):
            publisher.publish(email(), timeout=SHORT)
        proxy.answers.set()
        publisher.publish(email())
        vhost.broker.request("DELETE", f"queues/{vhost.name}/{QUEUE}")
        with pytest.raises(Unroutable):
            publisher.publish(email())
        vhost.broker.request("DELETE", f"exchanges/{vhost.name}/email")
        with pytest.raises(Rejected):
            publisher.publish(email())
    with pytest.raises(NotPublished):
        publisher.publish(email())

    assert counted(registry) == {
        ("transactional", "confirmed"): 2,
        ("bulk", "confirmed"): 2,
        ("transactional", "invalid"): 1,
        ("transactional", "unknown"): 1,
        ("transactional", "unroutable"): 1,
        ("transactional", "rejected"): 1,
        ("transactional", "not_published"): 1,
    }
    for lane in Lane:
        assert registry.get_sample_value(f"{CONFIRMS}_count", {"lane": lane}) == 2
        spent = registry.get_sample_value(f"{CONFIRMS}_sum", {"lane": lane})
        assert spent is not None
        assert 0 < spent < 60


def test_a_cancelled_email_counts_as_such(vhost: VirtualHost) -> None:
    registry = CollectorRegistry()

    with proxied(vhost.app_url) as proxy:
        proxy.answers.clear()
        with Publisher(proxy.url, metrics=PublisherMetrics(registry)) as publisher:
            future = publisher.publish_nowait(email())
            assert future.cancel()
            with pytest.raises(CancelledError):
                future.result()

    assert counted(registry) == {("transactional", "cancelled"): 1}


def test_every_series_is_there_before_the_first_email() -> None:
    registry = CollectorRegistry()

    PublisherMetrics(registry)

    for lane in Lane:
        for result in RESULTS:
            labels = {"lane": lane, "result": result}
            assert registry.get_sample_value(MESSAGES, labels) == 0
        assert registry.get_sample_value(f"{CONFIRMS}_count", {"lane": lane}) == 0


def test_without_metrics_the_publisher_needs_no_prometheus_client() -> None:
    code = (
        "import sys; sys.modules['prometheus_client'] = None;"
        "from publisher_lib import Publisher; Publisher('amqp://localhost/')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
