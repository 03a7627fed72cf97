"""No body, subject or password in any log, ours or pika's, at any level."""

import logging
from datetime import timedelta

import pytest

from publisher_lib import Publisher, PublishError
from tests.publisher.emails import QUEUE, SECRET, email
from tests.publisher.full_queue import full_queue
from tests.publisher.proxy import proxied
from tests.support.broker import PASSWORD, VirtualHost


def test_nothing_of_an_email_is_logged_whatever_becomes_of_it(
    vhost: VirtualHost, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "pika")
    vhost.declare_topology()

    with proxied(vhost.app_url) as proxy, Publisher(proxy.url) as publisher:
        publisher.publish(email(4711))
        proxy.cut()
        publisher.publish(email(4711))
        # Rejected, or in doubt where the deadline comes while it is tried once more.
        with full_queue(vhost), pytest.raises(PublishError):
            publisher.publish(email(4711), timeout=timedelta(seconds=0.5))
        vhost.broker.request("DELETE", f"queues/{vhost.name}/{QUEUE}")
        for timeout in (timedelta(seconds=5), timedelta()):
            with pytest.raises(PublishError):
                publisher.publish(email(4711), timeout=timeout)

    ours = [record for record in caplog.records if record.name.startswith("publisher_lib")]
    everything = "\n".join(logging.Formatter().format(record) for record in caplog.records)
    assert "_on_return" in everything, "or this test proves nothing"
    assert [record.getMessage() for record in ours] == ["publisher connection lost"]
    for text in (SECRET, "Message 4711", "user4711", PASSWORD):
        assert text not in everything
