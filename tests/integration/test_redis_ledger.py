"""Never twice on several hosts: consumers with nothing in common but broker and Redis."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from consumer.core.topology import lane_queue
from consumer.ledger.redis_server import LEASE
from publisher_lib.routing import Lane
from tests.support.broker import VirtualHost
from tests.support.consumer_process import ConsumerProcess, consuming, wait_until
from tests.support.redis_server import RedisServer, redis_server
from tests.support.smtp_script import say, silence
from tests.support.smtp_server import smtp_server
from tests.support.smtp_sink import smtp_sink

QUEUE = lane_queue(Lane.TRANSACTIONAL)
PAST_LEASE_SECONDS = LEASE.total_seconds() * 3

Start = Callable[..., ConsumerProcess]


def email(number: int = 0) -> bytes:
    return json.dumps(
        {
            "email_to": f"user{number}@example.org",
            "email_from": "app@example.org",
            "subject": "Hello",
            "message": {"text": "Hello"},
        }
    ).encode()


def outcomes(process: ConsumerProcess, message_id: str) -> list[str]:
    return [line["outcome"] for line in process.handled(message_id)]


@pytest.fixture
def redis_beside(tmp_path: Path) -> Iterator[RedisServer]:
    folder = tmp_path / "redis"
    folder.mkdir()
    with redis_server(folder) as server:
        yield server


@pytest.fixture
def start(vhost: VirtualHost, redis_beside: RedisServer, tmp_path: Path) -> Iterator[Start]:
    """Return what starts a consumer on a host of its own."""
    with ExitStack() as stack:

        def start_one(host: str, smtp_url: str, **settings: object) -> ConsumerProcess:
            return stack.enter_context(
                consuming(
                    vhost.url,
                    smtp_url,
                    ledger_url=redis_beside.url,
                    state_dir=tmp_path / host,
                    **settings,
                )
            )

        yield start_one


def test_what_was_published_twice_is_sent_once_by_two_hosts(
    vhost: VirtualHost, start: Start, tmp_path: Path
) -> None:
    (tmp_path / "mails").mkdir()
    with smtp_sink(tmp_path / "mails") as sink:
        hosts = [start(host, sink.url) for host in ("one", "two")]
        for number in range(100):
            for _ in range(2):
                vhost.publish_raw(email(number), message_id=f"m-{number}")
        wait_until(lambda: sum(len(host.events("handled")) for host in hosts) == 200, 60)

        assert sink.message_ids() == {f"m-{number}": 1 for number in range(100)}
        told = [line["outcome"] for host in hosts for line in host.events("handled")]
        assert (told.count("accepted"), told.count("duplicate")) == (100, 100)
    vhost.wait_for_depth(QUEUE, 0)


@pytest.mark.parametrize(("policy", "end"), [("resend", "accepted"), ("hold", None)])
def test_killed_between_dot_and_answer_the_mail_is_in_doubt_on_the_other_host(
    vhost: VirtualHost, start: Start, policy: str, end: str | None
) -> None:
    with smtp_server({"END_OF_DATA": [silence()]}) as server:
        one = start("one", server.url)
        vhost.publish_raw(email(), message_id="m-1")
        wait_until(lambda: len(server.dotted) == 1, what="the dot")
        two = start("two", server.url, if_uncertain=policy)

        one.kill()

        wait_until(lambda: two.handled("m-1"), PAST_LEASE_SECONDS, "the doubt")
        if end is None:
            (dead,) = vhost.dead_letters(1)
            assert dead.headers["x-hopmail-reason"] == "in_doubt"
        else:
            wait_until(lambda: len(two.handled("m-1")) == 2, what="the retry")
        assert outcomes(two, "m-1") == ["in_doubt", *filter(None, [end])]
        assert len(server.dotted) == (1 if end is None else 2)


def test_a_redis_that_is_killed_under_load_costs_and_doubles_nothing(
    vhost: VirtualHost, start: Start, redis_beside: RedisServer, tmp_path: Path
) -> None:
    count = 400
    (tmp_path / "mails").mkdir()
    with smtp_sink(tmp_path / "mails") as sink:
        hosts = [start(host, sink.url) for host in ("one", "two")]
        for number in range(count):
            vhost.publish_raw(email(number), message_id=f"m-{number}")
            if number == count // 2:
                redis_beside.kill()
                wait_until(lambda: all(host.events("ledger in trouble") for host in hosts), 20)
                taken = sink.count()
        assert sink.count() == taken, "no dot without the ledger's word"

        redis_beside.start()

        wait_until(lambda: len(sink.message_ids()) == count, 90, "all mails")
        assert set(sink.message_ids().values()) == {1}
        assert all(host.events("ledger is back") for host in hosts)
    vhost.wait_for_depth(QUEUE, 0)


def test_a_consumer_that_was_stopped_past_its_lease_sends_nothing_that_was_taken(
    vhost: VirtualHost, start: Start, tmp_path: Path
) -> None:
    (tmp_path / "mails").mkdir()
    with smtp_server({"DATA": [silence()]}) as server, smtp_sink(tmp_path / "mails") as sink:
        one = start("one", server.url)
        vhost.publish_raw(email(), message_id="m-1")
        wait_until(lambda: "DATA" in server.commands, what="DATA")
        one.signal(signal.SIGSTOP)
        two = start("two", sink.url)
        # The broker gives copies to both, for it does not know that one of them is stopped.
        for _ in range(4):
            vhost.publish_raw(email(), message_id="m-1")
        wait_until(lambda: "accepted" in outcomes(two, "m-1"), PAST_LEASE_SECONDS, "a copy")
        server.announce("354 go on")

        one.signal(signal.SIGCONT)

        wait_until(lambda: sum(len(outcomes(each, "m-1")) for each in (one, two)) == 5, 20)
        assert set(outcomes(one, "m-1")) == {"duplicate"}
        assert server.dotted == []
        assert sink.count() == 1
    vhost.wait_for_depth(QUEUE, 0)


def test_a_redis_that_is_not_there_yet_holds_the_mail(
    vhost: VirtualHost, start: Start, redis_beside: RedisServer
) -> None:
    redis_beside.kill()
    vhost.declare_topology()
    with smtp_server({"END_OF_DATA": [say("250 ok")]}) as server:
        one = start("one", server.url)
        wait_until(lambda: one.events("ledger in trouble"), what="the trouble")
        vhost.publish_raw(email(), message_id="m-1")

        redis_beside.start()

        wait_until(lambda: outcomes(one, "m-1") == ["accepted"], 20)
        assert len(server.dotted) == 1
