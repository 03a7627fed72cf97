"""Nothing lost, nothing doubled, nothing grown, with thousands of messages."""

import re
from pathlib import Path

import pytest

from publisher_lib import Content, Email, Publisher
from publisher_lib.routing import Lane
from tests.support.broker import VirtualHost
from tests.support.consumer_process import ConsumerProcess, consuming, wait_until
from tests.support.smtp_sink import SmtpSink, smtp_sink

TRANSACTIONAL = "email.transactional.v1"
DEAD = "email.dead.v1"


def email(number: int) -> Email:
    return Email(
        email_to=f"user{number}@example.org",
        email_from="App <app@example.org>",
        subject=f"Message {number}",
        message=Content(text="Hello " * 60, html="<p>Hello</p>" * 60),
    )


def publish(vhost: VirtualHost, count: int, lane: Lane = Lane.TRANSACTIONAL) -> list[str]:
    with Publisher(vhost.url) as publisher:
        receipts = publisher.publish_many((email(number) for number in range(count)), lane=lane)
    return [receipt.message_id for receipt in receipts]


@pytest.mark.timeout(300)
def test_twenty_thousand_messages_arrive_exactly_once_through_two_processes(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    vhost.declare_topology()
    published = publish(vhost, 20_000)

    with (
        smtp_sink(tmp_path / "sink") as sink,
        consuming(vhost.url, sink.url, worker=0),
        consuming(vhost.url, sink.url, worker=1),
    ):
        wait_until(lambda: sink.count() >= len(published), 200, "all mails in the sink")
        wait_until(lambda: vhost.queue_depth(TRANSACTIONAL) == 0, 20, "an empty queue")
        taken = sink.message_ids()

    assert set(published) == set(taken)
    assert {1} == set(taken.values())
    assert vhost.queue_depth(DEAD) == 0


def wait_for_mails(sink: SmtpSink, count: int) -> None:
    wait_until(lambda: sink.count() >= count, 60, f"{count} mails")


@pytest.mark.timeout(300)
def test_ten_terminations_amid_twelve_thousand_messages_lose_and_double_nothing(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    vhost.declare_topology()
    published = publish(vhost, 12_000)

    with smtp_sink(tmp_path / "sink") as sink:
        for restart in range(10):
            process = ConsumerProcess(vhost.url, sink.url)
            try:
                process.wait_ready()
                wait_for_mails(sink, (restart + 1) * 450)
                assert process.terminate() == 0
            finally:
                process.kill()
        assert vhost.queue_depth(TRANSACTIONAL) > 0, "the terminations came too late to matter"
        with consuming(vhost.url, sink.url):
            wait_until(lambda: sink.count() >= len(published), 120, "the rest")
            wait_until(lambda: vhost.queue_depth(TRANSACTIONAL) == 0, 20, "an empty queue")
        taken = sink.message_ids()

    assert set(published) == set(taken)
    assert {1} == set(taken.values())
    assert vhost.queue_depth(DEAD) == 0


@pytest.mark.timeout(120)
def test_with_one_session_mails_are_accepted_in_the_order_of_publishing(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    vhost.declare_topology()
    published = publish(vhost, 1_000)
    dump = tmp_path / "sink" / "in-order"

    with (
        smtp_sink(tmp_path / "sink", "-D", "in-order") as sink,
        consuming(vhost.url, sink.url, smtp_sessions=1),
    ):
        wait_until(
            lambda: dump.exists() and dump.read_bytes().count(b"\nMessage-ID: ") >= len(published),
            60,
        )
        order = re.findall(rb"(?m)^Message-ID: <([^@>]+)@", dump.read_bytes())

    assert published == [found.decode() for found in order]


def rss_with_a_backlog_of(vhost: VirtualHost, sink_url: str, count: int) -> int:
    with consuming(vhost.url, sink_url) as process:
        left = count - 900
        wait_until(lambda: vhost.queue_depth(TRANSACTIONAL) <= left, 60, "a few hundred mails")
        return process.rss_bytes()


@pytest.mark.timeout(400)
def test_a_process_is_no_larger_before_two_hundred_thousand_messages(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    vhost.declare_topology()

    with smtp_sink(tmp_path / "sink") as sink:
        publish(vhost, 1_000)
        small = rss_with_a_backlog_of(vhost, sink.url, 1_000)
        vhost.purge(TRANSACTIONAL)
        publish(vhost, 200_000)
        large = rss_with_a_backlog_of(vhost, sink.url, 200_000)

    assert large <= small * 1.1
