"""The broker is away, silent, or cut off: nothing confirmed is lost, and doubt is called doubt."""

import logging
import socket
import ssl
from datetime import timedelta

import pika
import pytest
from pika import exceptions

from publisher_lib import NotPublished, OutcomeUnknown, Publisher
from publisher_lib.io_thread import IOThread
from publisher_lib.outgoing import Outgoing
from tests.publisher.emails import QUEUE, email
from tests.publisher.proxy import proxied
from tests.support.broker import VirtualHost
from tests.support.certificates import authority
from tests.support.consumer_process import wait_until
from tests.support.hung_broker import hung

SHORT = timedelta(seconds=0.7)
NOWHERE = "amqp://webapp:secret@127.0.0.1:1/"


def ids(vhost: VirtualHost) -> list[str]:
    return [message.properties.message_id for message in vhost.take_all(QUEUE)]


def thread_of(publisher: Publisher) -> IOThread:
    thread = publisher._submitter._confirmed._process().thread
    assert thread is not None
    return thread


def refusal(url: str) -> str:
    with Publisher(url, timeout=SHORT) as publisher, pytest.raises(NotPublished) as error:
        publisher.publish(email(), message_id="m-1")
    assert error.value.message_id == "m-1"
    assert "secret" not in str(error.value)
    return str(error.value)


def test_a_host_that_cannot_be_reached_is_named_with_the_reason() -> None:
    assert "127.0.0.1:1: " in (text := refusal(NOWHERE))
    assert "Connection refused" in text


@pytest.mark.parametrize("threads", [True, False])
def test_of_pika_s_lines_the_app_sees_those_of_its_own_use_only(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, *, threads: bool
) -> None:
    monkeypatch.setattr(logging, "logThreads", threads)

    refusal(NOWHERE)
    told = [record.name for record in caplog.records if record.name.startswith("pika")]
    with pytest.raises(exceptions.AMQPConnectionError):
        pika.BlockingConnection(pika.URLParameters(NOWHERE))

    assert told == []
    assert any(record.name.startswith("pika") for record in caplog.records)


def test_whoever_asks_pika_for_everything_gets_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "pika")

    refusal(NOWHERE)

    assert any(record.name.startswith("pika") for record in caplog.records)


def test_every_host_that_was_tried_is_named() -> None:
    text = refusal(f"{NOWHERE},amqp://webapp:secret@127.0.0.1:2/")

    assert "127.0.0.1:1: " in text
    assert "127.0.0.1:2: " in text


def test_a_refused_login_is_named(vhost: VirtualHost) -> None:
    text = refusal(vhost.broker.url(vhost.name, "webapp", "secret"))

    assert f"{vhost.broker.host}:{vhost.broker.port}: " in text
    assert "ACCESS_REFUSED" in text or "refused the login" in text


def test_an_unknown_virtual_host_is_named(vhost: VirtualHost) -> None:
    text = refusal(vhost.broker.url("no-such-host"))

    assert f"{vhost.broker.host}:{vhost.broker.port}: " in text
    assert "no-such-host" in text or "virtual host" in text


def test_a_host_that_does_not_answer_is_not_published(vhost: VirtualHost) -> None:
    with proxied(vhost.app_url) as proxy:
        proxy.accepts.clear()

        assert "no broker has answered yet" in refusal(proxy.url)


def test_the_next_host_is_used_when_one_is_away(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    login = f"webapp-{vhost.name}"

    with Publisher([f"amqp://{login}:x@127.0.0.1:1/", vhost.app_url]) as publisher:
        receipt = publisher.publish(email())

    assert ids(vhost) == [receipt.message_id]


def test_the_next_host_is_used_in_time_when_one_hangs(vhost: VirtualHost) -> None:
    vhost.declare_topology()

    with hung(vhost.app_url) as urls, Publisher(urls) as publisher:
        receipt = publisher.publish(email())

    assert ids(vhost) == [receipt.message_id]


def test_written_and_never_answered_is_an_unknown_outcome(vhost: VirtualHost) -> None:
    vhost.declare_topology()

    with proxied(vhost.app_url) as proxy, Publisher(proxy.url) as publisher:
        publisher.publish(email(), message_id="first")
        proxy.answers.clear()
        with pytest.raises(OutcomeUnknown) as error:
            publisher.publish(email(), message_id="second", timeout=SHORT)
        wait_until(lambda: vhost.queue_depth(QUEUE) == 2)
        proxy.answers.set()
        publisher.publish(email(), message_id="third")

    assert error.value.message_id == "second"
    assert "publish it again with the same message_id" in str(error.value)
    assert ids(vhost) == ["first", "second", "third"]


def test_what_was_unconfirmed_when_the_connection_was_lost_is_published_again(
    vhost: VirtualHost,
) -> None:
    vhost.declare_topology()

    with proxied(vhost.app_url) as proxy, Publisher(proxy.url) as publisher:
        publisher.publish(email(), message_id="first")
        proxy.answers.clear()
        futures = [publisher.publish_nowait(email(number)) for number in range(100)]
        wait_until(lambda: vhost.queue_depth(QUEUE) == 101)
        proxy.cut()
        proxy.answers.set()
        receipts = [future.result(10) for future in futures]

    published = [receipt.message_id for receipt in receipts]
    assert ids(vhost) == ["first", *published, *published]


def test_an_earlier_copy_in_doubt_leaves_any_later_failure_in_doubt(vhost: VirtualHost) -> None:
    vhost.declare_topology()

    with proxied(vhost.app_url) as proxy, Publisher(proxy.url) as publisher:
        publisher.publish(email())
        proxy.answers.clear()
        futures = [publisher.publish_nowait(email(number)) for number in range(3)]
        wait_until(lambda: vhost.queue_depth(QUEUE) == 4)
        vhost.broker.request("DELETE", f"queues/{vhost.name}/{QUEUE}")
        proxy.cut()
        proxy.answers.set()
        errors = [future.exception(10) for future in futures]

    assert {type(error) for error in errors} == {OutcomeUnknown}
    assert "the connection was lost" in str(errors[0])
    assert "312 NO_ROUTE" in str(errors[0])


def test_a_lost_connection_while_finding_a_refused_message_changes_nothing(
    vhost: VirtualHost,
) -> None:
    vhost.declare_topology()

    with proxied(vhost.app_url) as proxy, Publisher(proxy.url) as publisher:
        confirmed = publisher._submitter._confirmed
        properties = pika.BasicProperties(message_id="m-1")
        confirmed.submit("email", "transactional", properties, b"{}", 10).result(10)
        courier = thread_of(publisher)._courier
        lost = []
        refused = courier.refused

        def refused_then_cut(words: str, unanswered: list[Outgoing]) -> None:
            refused(words, unanswered)
            if len(unanswered) > 1:
                lost.append(words)
                proxy.cut()

        courier.refused = refused_then_cut  # type: ignore[method-assign]  # the moment matters
        wrong = pika.BasicProperties(message_id="m-2", expiration="soon")
        sent = [properties, wrong, properties]
        futures = [confirmed.submit("email", "transactional", one, b"{}", 10) for one in sent]
        kinds = [type(future.exception(10)).__name__ for future in futures]

    assert len(lost) == 1
    assert kinds in (
        ["NoneType", "Rejected", "NoneType"],
        ["NoneType", "OutcomeUnknown", "NoneType"],
    )


def test_a_cancelled_future_was_surely_not_published(vhost: VirtualHost) -> None:
    vhost.declare_topology()

    with proxied(vhost.app_url) as proxy, Publisher(proxy.url) as publisher:
        proxy.accepts.clear()
        first, second = (publisher.publish_nowait(email(), message_id=key) for key in "ab")
        assert first.cancel()
        proxy.accepts.set()
        second.result(10)
        assert not second.cancel()

    assert ids(vhost) == ["b"]


def test_hours_without_a_broker_keep_nothing_in_memory() -> None:
    with Publisher(NOWHERE, timeout=timedelta(seconds=0.2)) as publisher:
        for _again in range(3):
            futures = [publisher.publish_nowait(email(number)) for number in range(50)]
            assert {type(future.exception(5)) for future in futures} == {NotPublished}
        thread = thread_of(publisher)
        wait_until(lambda: not thread._courier._waiting and not thread._courier._open)


def test_closing_does_not_wait_for_a_broker_that_is_silent(vhost: VirtualHost) -> None:
    vhost.declare_topology()

    with proxied(vhost.app_url) as proxy:
        publisher = Publisher(proxy.url)
        publisher.publish(email())
        proxy.answers.clear()
        lost = publisher.publish_nowait(email())
        wait_until(lambda: vhost.queue_depth(QUEUE) == 2)

        assert publisher.close(timedelta(seconds=0.1)) == 1
        assert isinstance(lost.exception(0), OutcomeUnknown)


def test_closing_an_idle_publisher_does_not_wait_either(vhost: VirtualHost) -> None:
    vhost.declare_topology()

    with proxied(vhost.app_url) as proxy:
        publisher = Publisher(proxy.url)
        publisher.publish(email())
        thread = thread_of(publisher)
        proxy.answers.clear()

        assert publisher.close(timedelta(seconds=0.1)) == 0
        wait_until(lambda: not thread._thread.is_alive())


def test_closing_does_not_wait_for_a_connection_in_the_making(
    vhost: VirtualHost, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        # The kernel lets one connection wait for `accept`; the next ones' SYN is not answered.
        socket.create_server(("127.0.0.1", 0), backlog=0) as full,
        socket.create_connection(full.getsockname()[:2]),
        proxied(vhost.app_url) as proxy,
    ):
        proxy.accepts.clear()
        for url in (f"amqp://a:b@127.0.0.1:{full.getsockname()[1]}/", proxy.url):
            publisher = Publisher(url)
            publisher.publish_nowait(email())
            wait_until(lambda publisher=publisher: thread_of(publisher)._loop._watched)  # type: ignore[misc]  # mypy infers no default's type

            assert publisher.close(timedelta(seconds=0.1)) == 1
            assert not thread_of(publisher)._thread.is_alive()
    assert "the I/O loop failed" not in caplog.messages


def test_a_done_callback_at_the_close_cannot_publish_any_more() -> None:
    errors: list[BaseException | None] = []
    publisher = Publisher(NOWHERE)

    def publish_again(_done: object) -> None:
        errors.append(publisher.publish_nowait(email()).exception(0))

    publisher.publish_nowait(email()).add_done_callback(publish_again)
    publisher.close(timedelta())

    assert [type(error) for error in errors] == [NotPublished]


def test_a_failure_in_the_io_thread_while_it_ends_does_not_keep_it() -> None:
    publisher = Publisher(NOWHERE)
    publisher.publish_nowait(email(), timeout=timedelta()).exception(5)
    thread = thread_of(publisher)
    wait_until(lambda: thread._courier._link is None)

    def fail() -> None:
        thread._courier._is_retiring = True
        raise ZeroDivisionError

    thread._call(fail)

    wait_until(lambda: not thread._thread.is_alive())


def test_a_failure_in_the_io_thread_costs_a_connection_and_no_message(
    vhost: VirtualHost, caplog: pytest.LogCaptureFixture
) -> None:
    vhost.declare_topology()

    def fail() -> None:
        raise ZeroDivisionError

    with Publisher(vhost.app_url) as publisher:
        publisher.publish(email(), message_id="first")
        thread = thread_of(publisher)
        thread._call(fail)
        publisher.publish(email(), message_id="second")

    assert set(ids(vhost)) == {"first", "second"}
    assert "the I/O loop failed" in caplog.messages


@pytest.mark.parametrize("trusted", [True, False])
def test_over_tls_the_certificate_is_verified(
    vhost: VirtualHost, monkeypatch: pytest.MonkeyPatch, *, trusted: bool
) -> None:
    vhost.declare_topology()

    with authority() as ca:
        monkeypatch.setenv(
            "SSL_CERT_FILE", str(ca.cafile if trusted else ssl.get_default_verify_paths().cafile)
        )
        with proxied(vhost.app_url, ca.context()) as proxy:
            if trusted:
                with Publisher(proxy.url) as publisher:
                    receipt = publisher.publish(email())
                assert ids(vhost) == [receipt.message_id]
            else:
                assert "certificate is refused" in refusal(proxy.url)
