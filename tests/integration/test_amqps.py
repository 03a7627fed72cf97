"""amqps://: neither program talks to a broker whose certificate has a flaw."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from consumer.amqp.connection import BrokerUnavailable, blocking_connection
from publisher_lib import NotPublished, Publisher
from tests.publisher.emails import email
from tests.publisher.proxy import proxied
from tests.support.broker import VirtualHost
from tests.support.certificates import Authority, authority
from tests.support.consumer_process import ConsumerProcess, consuming, wait_until
from tests.support.flawed_certificates import FLAWS, flawed_context
from tests.support.smtp_server import smtp_server

SHORT = timedelta(seconds=2)
NO_RELAY = "smtp://127.0.0.1:1?tls=none"


@pytest.fixture
def ca(monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    """Return an authority that this process and those it starts trust."""
    with authority() as made:
        monkeypatch.setenv("SSL_CERT_FILE", str(made.cafile))
        yield made


def test_over_tls_a_mail_goes_all_the_way(vhost: VirtualHost, ca: Authority) -> None:
    with (
        smtp_server() as relay,
        proxied(vhost.url, ca.context()) as near,
        proxied(vhost.app_url, ca.context()) as far,
        consuming(near.url, relay.url),
        Publisher(far.url) as publisher,
    ):
        publisher.publish(email())
        wait_until(lambda: relay.mails, what="the mail")


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flawed_certificate_ends_it(vhost: VirtualHost, ca: Authority, flaw: str) -> None:
    with (
        proxied(vhost.url, flawed_context(ca.ca, flaw)) as proxy,
        pytest.raises(BrokerUnavailable, match=FLAWS[flaw]),
        blocking_connection((proxy.url,), "test"),
    ):
        pass

    assert proxy.forwarded == b""


@pytest.mark.parametrize("flaw", ["self-signed", "other host"])
def test_the_consumer_tells_a_flawed_broker_nothing(
    vhost: VirtualHost, ca: Authority, flaw: str
) -> None:
    with proxied(vhost.url, flawed_context(ca.ca, flaw)) as proxy:
        process = ConsumerProcess(proxy.url, NO_RELAY)
        try:
            wait_until(lambda: process.events("broker not ready"), 20, "the refusal")
        finally:
            process.kill()

    assert FLAWS[flaw] in process.events("broker not ready")[0]["detail"]
    assert process.events("consuming") == []
    assert proxy.forwarded == b""


@pytest.mark.parametrize("flaw", ["self-signed", "other host"])
def test_the_publisher_tells_a_flawed_broker_nothing(
    vhost: VirtualHost, ca: Authority, flaw: str
) -> None:
    with (
        proxied(vhost.app_url, flawed_context(ca.ca, flaw)) as proxy,
        Publisher(proxy.url, timeout=SHORT) as publisher,
        pytest.raises(NotPublished, match=FLAWS[flaw]),
    ):
        publisher.publish(email())

    assert proxy.forwarded == b""


def test_a_broker_without_tls_is_told_nothing(vhost: VirtualHost) -> None:
    with proxied(vhost.app_url) as proxy:
        url = proxy.url.replace("amqp://", "amqps://")
        with (
            Publisher(url, timeout=SHORT) as publisher,
            pytest.raises(NotPublished),
        ):
            publisher.publish(email())

    assert b"AMQP" not in proxy.forwarded
    assert b"webapp" not in proxy.forwarded
