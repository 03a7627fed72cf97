"""Several relays behind a real broker and consumer processes: none lost, none twice."""

import json
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from consumer.core.topology import DEAD_QUEUE, lane_queue
from publisher_lib.routing import Lane
from tests.support.broker import VirtualHost
from tests.support.consumer_process import ConsumerProcess, consuming, wait_until
from tests.support.smtp_script import Event, Rule, hang_up, late, say
from tests.support.smtp_server import SmtpServer, smtp_server

QUEUE: Final = lane_queue(Lane.TRANSACTIONAL)
QUICK: Final[dict[str, object]] = {"timeout": 1, "data_timeout": 2, "connect_timeout": 1}


def email(number: int, **more: object) -> bytes:
    return json.dumps(
        {
            "email_to": f"r{number}@example.org",
            "email_from": "app@example.org",
            "subject": "Hello",
            "message": {"text": "Hello"},
            **more,
        }
    ).encode()


def publish(vhost: VirtualHost, numbers: range, **more: object) -> None:
    for number in numbers:
        vhost.publish_raw(email(number, **more), message_id=f"m-{number}")


def urls(*servers: SmtpServer, **options: object) -> str:
    return ",".join(server.url_with("", "127.0.0.1", **(QUICK | options)) for server in servers)


def taken(*servers: SmtpServer) -> Counter[str]:
    """Return how often each recipient's mail was accepted."""
    return Counter(name for server in servers for mail in server.mails for name in mail.recipients)


def once_each(numbers: range) -> Counter[str]:
    return Counter(f"r{number}@example.org" for number in numbers)


def wait_for_all(vhost: VirtualHost, numbers: range, *servers: SmtpServer) -> None:
    wait_until(lambda: len(taken(*servers)) == len(numbers), 40, "all mails")
    wait_until(lambda: vhost.unsettled(QUEUE) == 0, 20, "the acks")


def test_with_the_first_dead_all_goes_through_the_second(vhost: VirtualHost) -> None:
    numbers = range(30)
    with smtp_server() as first, smtp_server() as second:
        first.stop()
        with consuming(vhost.url, urls(first, second)) as process:
            publish(vhost, numbers)
            wait_for_all(vhost, numbers, second)
            (trouble,) = process.events("relay in trouble")
            wait_until(lambda: len(process.events("handled")) == 30, what="their lines")
            lines = process.events("handled")

    assert taken(second) == once_each(numbers)
    assert trouble["relay"] == f"127.0.0.1:{first.port}"
    assert {(line["disposition"], line["attempt"]) for line in lines} == {("ack", 1)}
    assert vhost.take_all(DEAD_QUEUE) == []


def test_when_the_first_returns_it_is_used_again(vhost: VirtualHost) -> None:
    with smtp_server() as first, smtp_server() as second:
        first.stop()
        with consuming(vhost.url, urls(first, second)) as process:
            publish(vhost, range(10))
            wait_for_all(vhost, range(10), second)
            first.start()
            wait_until(lambda: process.events("relay is back"), 30)
            publish(vhost, range(10, 20))
            wait_for_all(vhost, range(20), first, second)

    assert taken(second) == once_each(range(10))
    assert taken(first) == once_each(range(10, 20))
    assert process.events("relay is back")[0]["relay"] == f"127.0.0.1:{first.port}"


def test_a_first_that_dies_in_the_middle_of_mails_loses_none_and_doubles_none(
    vhost: VirtualHost,
) -> None:
    with (
        smtp_server() as first,
        smtp_server() as second,
        consuming(vhost.url, urls(first, second)) as process,
    ):
        first.script["DATA"] = lambda _none: hang_up() if len(first.mails) >= 10 else None
        publish(vhost, range(30))
        wait_for_all(vhost, range(30), first, second)
        first.stop()
        publish(vhost, range(30, 60))
        wait_for_all(vhost, range(60), first, second)

    assert taken(first, second) == once_each(range(60))
    assert 10 <= len(first.mails) <= 14
    assert {line["attempt"] for line in process.events("handled")} == {1}
    assert vhost.take_all(DEAD_QUEUE) == []


@pytest.mark.parametrize("uncertain", ["hold", "resend"])
def test_a_mail_whose_dot_was_sent_never_goes_to_the_second(
    vhost: VirtualHost, uncertain: str
) -> None:
    events: list[Event | None] = [hang_up()] * 3
    with (
        smtp_server({"END_OF_DATA": events}) as first,
        smtp_server() as second,
        consuming(vhost.url, urls(first, second), retry_delays="1s,2s,4s,8s") as process,
    ):
        publish(vhost, range(1), if_uncertain=uncertain)
        if uncertain == "hold":
            (dead,) = vhost.dead_letters(1)
            assert dead.headers["x-hopmail-reason"] == "in_doubt"
        else:
            wait_for_all(vhost, range(1), first)
            wait_until(lambda: len(process.handled("m-0")) == 4, what="its lines")
        outcomes = [line["outcome"] for line in process.handled("m-0")]

    assert second.sessions == 0
    assert outcomes == (["in_doubt"] if uncertain == "hold" else [*["in_doubt"] * 3, "accepted"])


def test_with_all_dead_consuming_pauses_and_all_is_delivered_after_the_repair(
    vhost: VirtualHost,
) -> None:
    numbers = range(40)
    with smtp_server() as first, smtp_server() as second, smtp_server() as third:
        servers = (first, second, third)
        for server in servers:
            server.stop()
        with consuming(vhost.url, urls(*servers)) as process:
            publish(vhost, range(1))
            wait_until(lambda: len(process.events("relay in trouble")) == 3, what="the breakers")
            publish(vhost, range(1, 40))
            # A delivery or two may come before the broker has read our cancel.
            assert vhost.queue_depth(QUEUE) > 35, "consuming goes on"
            third.start()
            wait_for_all(vhost, numbers, third)
            lines = process.events("handled")

    assert taken(third) == once_each(numbers)
    assert {line["attempt"] for line in lines} == {1}
    assert {line["disposition"] for line in lines} <= {"ack", "pause"}
    assert vhost.take_all(DEAD_QUEUE) == []


def test_what_the_first_lacks_goes_to_the_second(vhost: VirtualHost) -> None:
    with (
        smtp_server(extensions=("PIPELINING",)) as first,
        smtp_server() as second,
        consuming(vhost.url, urls(first, second)),
    ):
        publish(vhost, range(3))
        vhost.publish_raw(email(3, email_to="josé@example.org"), message_id="m-3")
        wait_until(lambda: len(taken(first, second)) == 4)
        wait_until(lambda: vhost.unsettled(QUEUE) == 0, 20, "the acks")

    assert taken(first) == once_each(range(3))
    assert taken(second) == Counter(["josé@example.org"])


def test_a_login_wanted_for_one_sender_delays_nobody_else(vhost: VirtualHost) -> None:
    def answer(argument: str) -> Event | None:
        return say("530 5.7.0 log in first") if "poison@" in argument else None

    rules: dict[str, Rule] = {"MAIL": answer}
    with (
        smtp_server(rules) as first,
        smtp_server(rules) as second,
        consuming(vhost.url, urls(first, second)) as process,
    ):
        vhost.publish_raw(email(99, email_from="poison@example.org"), message_id="poison")
        wait_until(lambda: process.handled("poison"), what="the first attempt")
        publish(vhost, range(5))
        wait_until(lambda: len(taken(first, second)) == 5, 30, "the others")
        (dead,) = vhost.dead_letters(1, 60)

    assert taken(first, second) == once_each(range(5))
    assert dead.properties.message_id == "poison"
    assert dead.headers["x-hopmail-reason"] == "attempts_exhausted"
    assert (dead.detail["stage"], dead.headers["x-hopmail-attempt"]) == ("AUTH", 3)


def test_no_more_sessions_are_open_at_once_than_a_relay_allows(vhost: VirtualHost) -> None:
    numbers = range(60)
    most = {"first": 0, "second": 0}
    with smtp_server() as first, smtp_server() as second:

        def look(_argument: str) -> Event:
            most["first"] = max(most["first"], first.open_sessions)
            most["second"] = max(most["second"], second.open_sessions)
            return late(0.02, "250 ok")

        first.script["MAIL"] = second.script["MAIL"] = look
        both = ",".join([urls(first, sessions=2), urls(second, sessions=1)])
        vhost.declare_topology()
        # First: on a slow machine they would come one after the other.
        publish(vhost, numbers)
        with consuming(vhost.url, both, smtp_sessions=6):
            wait_for_all(vhost, numbers, first, second)

    assert most == {"first": 2, "second": 1}
    assert taken(first, second) == once_each(numbers)


@pytest.mark.parametrize("sessions", [1, 2, 100])
def test_however_few_sessions_a_relay_allows_the_order_and_the_lanes_hold(
    vhost: VirtualHost, sessions: int
) -> None:
    slow = {"END_OF_DATA": late(0.02, "250 2.0.0 queued")}
    with (
        smtp_server(slow) as server,
        consuming(vhost.url, urls(server, sessions=sessions)),
    ):
        for number in range(200):
            vhost.publish_raw(email(number), message_id=f"m-{number}", lane=Lane.BULK)
        wait_until(lambda: len(server.mails) > 20, what="the first")
        before = len(server.mails)
        vhost.publish_raw(email(999), message_id="urgent")
        wait_until(lambda: len(server.mails) == 201, 60, "all mails")
        order = [
            int(name[1:].partition("@")[0]) for mail in server.mails for name in mail.recipients
        ]

    # What is under way, and told ahead, when it comes.
    assert order.index(999) - before <= 2 * min(sessions, 4) + 2
    order.remove(999)
    assert max(place - number for place, number in enumerate(order)) <= 2 * 4


@contextmanager
def two_processes(vhost: VirtualHost, url: str, folder: Path) -> Any:
    with ExitStack() as stack:
        yield [
            stack.enter_context(consuming(vhost.url, url, state_dir=folder, worker=worker))
            for worker in (0, 1)
        ]


def test_two_processes_keep_a_rate_together_and_stop_at_once(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    moments: list[float] = []

    def note(_argument: str) -> None:
        moments.append(time.monotonic())

    with smtp_server({"MAIL": note}) as server:
        with two_processes(vhost, urls(server, rate=10), tmp_path / "state") as processes:
            publish(vhost, range(100))
            wait_until(lambda: len(moments) >= 40, 60, "forty mails")
            slow = moments[:40]
            codes = [process.terminate(25) for process in processes]
        first_part = len(server.mails)
        with consuming(vhost.url, urls(server, rate=100), state_dir=tmp_path / "state"):
            wait_for_all(vhost, range(100), server)

    assert codes == [0, 0]
    assert first_part < 100
    windows = [sum(start <= moment < start + 2 for moment in slow) for start in slow]
    # 10 a second, 0.1 s' worth at once, and each of eight threads may come late with one.
    assert max(windows) <= 20 + 1 + 1 + 8
    assert taken(server) == once_each(range(100))


def test_a_relay_that_says_when_is_asked_no_earlier(vhost: VirtualHost) -> None:
    told = [say("450 4.7.1 greylisted, please try again in 3 seconds")]
    with (
        smtp_server({"RCPT": told}) as server,
        consuming(vhost.url, urls(server), retry_delays="1s,2s,4s,8s") as process,
    ):
        publish(vhost, range(1))
        wait_for_all(vhost, range(1), server)
        wait_until(lambda: len(process.handled("m-0")) == 2, what="its lines")
        lines = process.handled("m-0")

    assert [line["disposition"] for line in lines] == ["retry", "ack"]
    assert lines[0]["delay_seconds"] == 4
    assert [line["attempt"] for line in lines] == [1, 2]


def test_a_rate_that_cannot_be_kept_is_told_at_the_start(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with smtp_server() as server:
        url = urls(server, rate=1)
        process = ConsumerProcess(
            vhost.url, url, state_dir=tmp_path / "file" / "state", ledger_url="none"
        )
        code = process.wait(30)
        process.kill()

    assert code == 78
    assert "HOPMAIL_STATE_DIR" in "".join(process.raw)
    assert str(tmp_path / "file" / "state") in "".join(process.raw)
