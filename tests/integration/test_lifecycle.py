"""How the process starts and ends, and what it survives between."""

import json
import re
import signal
import time
from pathlib import Path

import pytest

from consumer.core.topology import DEAD_QUEUE, lane_queue
from consumer.daemon import ONE_SIGNAL_SECONDS
from publisher_lib.routing import Lane
from tests.support.broker import VirtualHost
from tests.support.consumer_process import ConsumerProcess, consuming, wait_until
from tests.support.smtp_script import late, silence
from tests.support.smtp_server import smtp_server
from tests.support.smtp_sink import smtp_sink
from tests.support.sockets import bound_udp_ports, listening_ports

QUEUE = lane_queue(Lane.TRANSACTIONAL)
ANSWER = "250 2.0.0 queued"
GRACE_SECONDS = 6


def email(number: int = 0, text: str = "Hello") -> bytes:
    return json.dumps(
        {
            "email_to": f"user{number}@example.org",
            "email_from": "app@example.org",
            "subject": "Hello",
            "message": {"text": text},
        }
    ).encode()


def email_of(size: int) -> bytes:
    return email(text=("x" * 70 + "\n") * (size // 71))


def test_sigterm_ends_an_idle_process_at_once_with_zero(vhost: VirtualHost) -> None:
    with smtp_server() as server, consuming(vhost.url, server.url) as process:
        started = time.monotonic()

        assert process.terminate() == 0

        assert time.monotonic() - started < 5
        assert process.events("stopped")


def test_sigterm_lets_a_mail_whose_dot_is_sent_be_finished_and_acked(vhost: VirtualHost) -> None:
    with (
        smtp_server({"END_OF_DATA": late(1.5, ANSWER)}) as server,
        consuming(vhost.url, server.url) as process,
    ):
        vhost.publish_raw(email(), message_id="m-1")
        wait_until(lambda: server.dotted, what="the final dot")

        assert process.terminate() == 0

        assert [line["disposition"] for line in process.handled("m-1")] == ["ack"]
    vhost.wait_for_depth(QUEUE, 0)
    assert len(server.dotted) == 1


def test_sigterm_gives_back_what_the_relay_does_not_take_in_time(vhost: VirtualHost) -> None:
    with (
        smtp_server({"RCPT": silence()}) as server,
        consuming(vhost.url, server.url, grace=f"{GRACE_SECONDS}s", smtp_sessions=2) as process,
    ):
        for number in range(5):
            vhost.publish_raw(email(number))
        wait_until(lambda: any(c.startswith("RCPT") for c in server.commands), what="RCPT")
        started = time.monotonic()

        assert process.terminate() == 0

        assert time.monotonic() - started < GRACE_SECONDS + 1
        assert server.dotted == []
    vhost.wait_for_depth(QUEUE, 5)


def test_a_signal_that_comes_twice_at_once_is_one(vhost: VirtualHost) -> None:
    with (
        smtp_server({"END_OF_DATA": late(1.5, ANSWER)}) as server,
        consuming(vhost.url, server.url) as process,
    ):
        vhost.publish_raw(email(), message_id="m-1")
        wait_until(lambda: server.dotted, what="the final dot")

        # As systemd signals the group, and supervisor its workers.
        process.signal(signal.SIGTERM)
        wait_until(lambda: process.events("stopping"), what="the first signal's effect")

        assert process.terminate() == 0
        assert [line["disposition"] for line in process.handled("m-1")] == ["ack"]
    vhost.wait_for_depth(QUEUE, 0)


def test_no_dot_is_written_so_late_that_its_answer_could_not_come(vhost: VirtualHost) -> None:
    with (
        smtp_server({"RCPT": late(2.5, "250 2.1.5 ok")}) as server,
        consuming(vhost.url, server.url, grace=f"{GRACE_SECONDS}s") as process,
    ):
        vhost.publish_raw(email())
        wait_until(lambda: any(c.startswith("RCPT") for c in server.commands), what="RCPT")

        assert process.terminate() == 0

        assert server.dotted == []
    vhost.wait_for_depth(QUEUE, 1)


def test_a_second_signal_ends_the_process_at_once(vhost: VirtualHost) -> None:
    with (
        smtp_server({"RCPT": silence()}) as server,
        consuming(vhost.url, server.url) as process,
    ):
        vhost.publish_raw(email())
        wait_until(lambda: any(c.startswith("RCPT") for c in server.commands), what="RCPT")
        process.signal(signal.SIGTERM)
        wait_until(lambda: process.events("stopping"), what="the first signal's effect")
        time.sleep(ONE_SIGNAL_SECONDS)
        started = time.monotonic()

        process.signal(signal.SIGTERM)

        assert process.wait(10) == 128 + signal.SIGTERM
        assert time.monotonic() - started < 2
    vhost.wait_for_depth(QUEUE, 1)


def test_no_process_of_ours_listens_on_any_port(vhost: VirtualHost) -> None:
    with smtp_server() as server, consuming(vhost.url, server.url) as process:
        vhost.publish_raw(email())
        wait_until(lambda: server.mails, what="a mail")

        assert listening_ports(process.pid) == set()
        assert bound_udp_ports(process.pid) == set()


def test_a_broker_connection_lost_again_and_again_loses_nothing(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    count = 600
    with smtp_sink(tmp_path / "sink") as sink, consuming(vhost.url, sink.url) as process:
        ids = {f"m-{number}" for number in range(count)}
        for number in range(count):
            vhost.publish_raw(email(number), message_id=f"m-{number}")
            if number % 200 == 100:
                vhost.close_connections()
        wait_until(lambda: set(sink.message_ids()) == ids, 60, "every mail")
        wait_until(lambda: vhost.unsettled(QUEUE) == 0, 10, "the acks")

        assert len(process.events("broker connection lost")) >= 1
        assert process.is_alive
    assert vhost.take_all(DEAD_QUEUE) == []


def test_a_mail_is_not_sent_for_a_delivery_the_broker_took_back_before_the_dot(
    vhost: VirtualHost,
) -> None:
    with (
        smtp_server({"RCPT": [late(2.0, "250 2.1.5 ok")]}) as server,
        consuming(vhost.url, server.url, smtp_sessions=2) as process,
    ):
        vhost.publish_raw(email(), message_id="m-1")
        wait_until(lambda: any(c.startswith("RCPT") for c in server.commands), what="RCPT")

        vhost.close_connections()

        wait_until(lambda: server.mails, what="the mail")
        wait_until(lambda: vhost.unsettled(QUEUE) == 0, 10, "the ack")
        wait_until(lambda: server.open_sessions <= 1, what="the first session's end")
        wait_until(lambda: process.handled("m-1"), what="its log line")
        assert len(server.dotted) == 1
        assert [line["redelivered"] for line in process.handled("m-1")] == [True]


def test_a_broker_that_is_not_ready_is_waited_for(vhost: VirtualHost) -> None:
    vhost.delete()
    with smtp_server() as server:
        process = ConsumerProcess(vhost.url, server.url)
        try:
            wait_until(lambda: process.events("broker not ready"), what="the complaint")
            assert process.is_alive
            vhost.create()
            process.wait_ready()
            vhost.publish_raw(email())
            wait_until(lambda: server.mails, what="the mail")
        finally:
            process.kill()


def test_a_topology_of_another_shape_ends_the_process_with_a_line_and_78(
    vhost: VirtualHost,
) -> None:
    with vhost.channel() as channel:
        channel.queue_declare(QUEUE, durable=True)
    with smtp_server() as server:
        process = ConsumerProcess(vhost.url, server.url)
        try:
            assert process.wait(20) == 78
        finally:
            process.kill()

    (line,) = process.events("topology differs")
    assert line["detail"].startswith(f"{QUEUE}: argument x-")


RELAY_AWAY = "smtp://127.0.0.1:1?tls=none"

WITH_A_SHORT_HOLD = """
import consumer.daemon
consumer.daemon.LONGEST_HOLD_SECONDS = 1.0
from consumer.__main__ import main
main()
"""

WITH_A_BUG = """
import consumer.cli.consume
def fail(_handled):
    raise ZeroDivisionError("a secret")
consumer.cli.consume.log_handled = fail
from consumer.__main__ import main
main()
"""


def test_what_is_held_too_long_for_the_broker_goes_back_to_its_lane(vhost: VirtualHost) -> None:
    process = ConsumerProcess(vhost.url, RELAY_AWAY, ("-c", WITH_A_SHORT_HOLD))
    try:
        process.wait_ready()
        for number in range(3):
            vhost.publish_raw(email(number), message_id=f"m-{number}")

        vhost.wait_for_depth(QUEUE, 3)

        assert process.terminate() == 0
    finally:
        process.kill()
    back = vhost.take_all(QUEUE)
    assert {message.properties.message_id for message in back} == {"m-0", "m-1", "m-2"}
    held = [message for message in back if "x-hopmail-attempt" in message.headers]
    assert held, "the others were never delivered: consuming paused"
    assert {message.headers["x-hopmail-attempt"] for message in held} == {1}


def test_a_process_of_which_a_thread_died_stops_in_order_and_ends_with_70(
    vhost: VirtualHost,
) -> None:
    with smtp_server() as server:
        process = ConsumerProcess(vhost.url, server.url, ("-c", WITH_A_BUG))
        try:
            process.wait_ready()
            vhost.publish_raw(email())
            assert process.wait(20) == 70
        finally:
            process.kill()
        assert len(server.mails) == 1
    (line,) = process.events("thread died")
    assert "ZeroDivisionError" in line["detail"]
    assert "a secret" not in "".join(process.raw)
    vhost.wait_for_depth(QUEUE, 0)


@pytest.mark.timeout(120)
def test_large_bulk_mails_fill_their_own_lane_only(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    bulk = lane_queue(Lane.BULK)
    large = email_of(6_000_000)
    for number in range(60):
        vhost.publish_raw(large, lane=Lane.BULK, message_id=f"bulk-{number}")
    with (
        smtp_server({"END_OF_DATA": late(2.0, ANSWER)}, size_limit=20_000_000) as server,
        consuming(vhost.url, server.url, smtp_sessions=2, prefetch=200) as process,
    ):
        wait_until(lambda: server.dotted, 30, "bulk mail under way")
        wait_until(lambda: vhost.queue_depth(bulk) > 20, what="the rest to be left on the broker")
        started = time.monotonic()
        vhost.publish_raw(email(), message_id="urgent")
        wait_until(lambda: process.handled("urgent"), 30, "the urgent mail")

        assert time.monotonic() - started < 10
        assert vhost.queue_depth(bulk) > 20


def test_while_others_wait_a_mail_costs_one_round_trip(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    names = [f"m-{number}" for number in range(60)]
    for name in names:
        vhost.publish_raw(email(), message_id=name)
    with smtp_server() as server, consuming(vhost.url, server.url, smtp_sessions=1):
        wait_until(lambda: len(server.mails) == len(names), 30, "every mail")
        reads = server.reads

    found = [re.search(rb"Message-ID: <([^@]+)@", mail.content) for mail in server.mails]
    assert [each and each[1].decode() for each in found] == names
    assert server.sessions == 1
    assert reads < 1.5 * len(names), "two of each would be envelope and content"


@pytest.mark.parametrize("sessions", [1, 3])
def test_bulk_never_delays_transactional_mail(vhost: VirtualHost, sessions: int) -> None:
    vhost.declare_topology()
    for number in range(60):
        vhost.publish_raw(email(number), lane=Lane.BULK, message_id=f"bulk-{number}")
    with (
        smtp_server({"END_OF_DATA": late(0.2, ANSWER)}) as server,
        consuming(vhost.url, server.url, smtp_sessions=sessions),
    ):
        wait_until(lambda: len(server.dotted) >= 5, what="bulk mail under way")
        before = len(server.dotted)
        vhost.publish_raw(email(), message_id="urgent")
        wait_until(
            lambda: any(b"Message-ID: <urgent@" in mail.content for mail in server.dotted),
            20,
            "the urgent mail",
        )
        overtaken_by = len(server.dotted) - before

    assert overtaken_by <= 2 * sessions + 1


def test_of_two_processes_of_one_number_the_second_writes_figures_once_the_first_is_gone(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    def writer() -> float | None:
        text = "".join(path.read_text() for path in files())
        found = re.search(r"^hopmail_process_start_time_seconds{.*} (.+)$", text, re.MULTILINE)
        return float(found[1]) if found else None

    def files() -> list[Path]:
        return list(tmp_path.glob("*.prom"))

    settings = {"metrics_dir": tmp_path}
    with smtp_server() as server, consuming(vhost.url, server.url, **settings) as first:
        wait_until(files, what="its figures")
        started = writer()
        with consuming(vhost.url, server.url, **settings) as second:
            wait_until(lambda: second.events("metrics left to another process"), what="its warning")
            assert writer() == started
            first.kill()

            wait_until(lambda: writer() != started, what="the figures of the second")
            assert len(second.events("metrics left to another process")) == 1
            with consuming(vhost.url, server.url, **settings) as third:
                wait_until(lambda: third.events("metrics left to another process"))
                assert third.terminate() == 0
            assert files(), "they are not the third one's"
            assert second.terminate() == 0

    assert not list(tmp_path.iterdir())
