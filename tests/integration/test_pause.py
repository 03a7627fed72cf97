"""`hopmail pause`, `resume` and `drain` beside real consumers, a real broker and a real relay."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from consumer.core.topology import lane_queue
from publisher_lib.routing import Lane
from tests.cli.command import ROOT, environment, hopmail
from tests.cli.supervised import supervised, wait_consuming
from tests.support.broker import VirtualHost
from tests.support.consumer_process import ConsumerProcess, consuming, state_folder, wait_until
from tests.support.smtp_server import SmtpServer, smtp_server

REASON = "the relay's owner asks"
EMAIL = json.dumps(
    {
        "email_to": "ada@example.org",
        "email_from": "app@example.org",
        "subject": "Hello",
        "message": {"text": "Hello"},
    }
).encode()


def settings_of(vhost: VirtualHost, relay_url: str = "smtp://127.0.0.1:1") -> dict[str, Any]:
    return {"amqp_url": vhost.url, "smtp_url": relay_url, "retry_delays": "1s,2s"}


def ask(vhost: VirtualHost, *arguments: str) -> str:
    """Run a command that must succeed, and return what it says."""
    ended = hopmail(*arguments, **settings_of(vhost))
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@contextmanager
def waiting_relay() -> Iterator[tuple[SmtpServer, threading.Event]]:
    """Run a relay that answers no final dot until the event is set."""
    go_on = threading.Event()

    def wait(_argument: str) -> None:
        go_on.wait(170)

    with smtp_server({"END_OF_DATA": wait}) as relay:
        try:
            yield relay, go_on
        finally:
            go_on.set()


def is_paused(process: ConsumerProcess, lanes: int = 2) -> bool:
    return len(process.events("lane paused")) == lanes


def test_a_paused_lane_is_not_taken_and_the_other_is(vhost: VirtualHost) -> None:
    with smtp_server() as relay, consuming(vhost.url, relay.url) as process:
        said = ask(vhost, "pause", "--lane", "bulk", "--reason", REASON, "--by", "ada")
        assert said.startswith(f"✓ bulk is paused: {REASON}\n")
        wait_until(lambda: is_paused(process, 1), 30, "the pause")
        (line,) = process.events("lane paused")
        told = {name: line[name] for name in ("level", "lane", "by", "detail")}
        assert told == {"level": "WARNING", "lane": "bulk", "by": "ada", "detail": REASON}
        wait_until(
            lambda: vhost.consumers_of(lane_queue(Lane.BULK)) == 0, seconds=30, what="no consumer"
        )

        vhost.publish_raw(EMAIL, message_id="m-bulk", lane="bulk")
        vhost.publish_raw(EMAIL, message_id="m-now")
        wait_until(lambda: process.handled("m-now"), what="the mail of the other lane")
        wait_until(lambda: vhost.queue_depth(lane_queue(Lane.BULK)) == 1, what="the paused mail")
        assert not process.handled("m-bulk")

        assert "by ada" in ask(vhost, "resume")
        wait_until(lambda: process.handled("m-bulk"), what="the paused mail, now")
        assert [line["lane"] for line in process.events("lane resumed")] == ["bulk"]
        assert process.terminate() == 0


def test_what_is_not_begun_goes_back_for_others_and_what_is_begun_ends(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    count, queue = 40, lane_queue(Lane.TRANSACTIONAL)
    with (
        waiting_relay() as (relay, go_on),
        consuming(vhost.url, relay.url, smtp_sessions=1) as process,
        smtp_server() as other_relay,
    ):
        for number in range(count):
            vhost.publish_raw(EMAIL, message_id=f"m-{number}")
        wait_until(lambda: vhost.queue_depth(queue) == count - 16, what="what it holds")

        ask(vhost, "pause", "--reason", REASON)
        vhost.wait_for_depth(queue, count - 1)
        assert not process.events("broker connection lost")

        with consuming(vhost.url, other_relay.url, state_dir=tmp_path) as other:
            wait_until(lambda: len(other.events("handled")) == count - 1, 60, "the others")
            assert other.terminate() == 0
        go_on.set()
        wait_until(lambda: process.events("handled"), what="the one that was begun")
        assert process.events("handled")[0]["outcome"] == "accepted"
        assert process.terminate() == 0
        assert (len(relay.mails), len(other_relay.mails)) == (1, count - 1)
        assert vhost.queue_depth(queue) == 0


def test_acks_are_right_after_some_were_given_back(vhost: VirtualHost) -> None:
    with smtp_server() as relay, consuming(vhost.url, relay.url) as process:
        for round_ in range(5):
            for number in range(30):
                vhost.publish_raw(EMAIL, message_id=f"m-{round_}-{number}")
            ask(vhost, "pause", "--reason", REASON)
            ask(vhost, "resume")
        wait_until(lambda: len(process.events("handled")) >= 150, 90, "all mails")
        assert {line["outcome"] for line in process.events("handled")} == {"accepted"}
        assert len(relay.mails) == 150
        assert not process.events("broker connection lost")
        assert process.terminate() == 0
        assert vhost.queue_depth(lane_queue(Lane.TRANSACTIONAL)) == 0


@pytest.mark.timeout(120)
def test_a_pause_outlives_a_crash_and_a_restart_of_hopmail_run(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    vhost.declare_topology()
    state_folder(vhost.url).mkdir(parents=True)
    queue = lane_queue(Lane.TRANSACTIONAL)
    with smtp_server() as relay:
        ask(vhost, "pause", "--reason", REASON)
        vhost.publish_raw(EMAIL, message_id="m-1")
        settings = settings_of(vhost, relay.url) | {"processes": 2, "log_format": "json"}
        with supervised(tmp_path / "out", **settings) as run:
            wait_until(lambda: len(run.events("lane paused")) == 4, 30, "both lanes, each worker")
            os.kill(run.workers()["0"], signal.SIGKILL)
            wait_until(lambda: len(run.events("lane paused")) == 6, 30, "its successor")
            assert vhost.queue_depth(queue) == 1
            assert not run.events("consuming")

            ask(vhost, "resume")
            wait_until(lambda: len(relay.mails) == 1, 30, "the mail")
            wait_consuming(run, 2)
            assert run.terminate() == 0


def status(vhost: VirtualHost, relay_url: str) -> tuple[int, dict[str, Any]]:
    done = hopmail("status", "--json", **settings_of(vhost, relay_url))
    return done.returncode, json.loads(done.stdout)


def test_status_tells_who_why_and_since_when_and_does_not_fail(vhost: VirtualHost) -> None:
    with smtp_server() as relay, consuming(vhost.url, relay.url, worker=0):
        ask(vhost, "pause", "--lane", "bulk", "--reason", REASON, "--by", "ada")
        page = hopmail("status", **settings_of(vhost, relay.url))
        assert "bulk is paused, by ada " in page.stdout
        assert f": {REASON}; `hopmail resume --lane bulk` ends it" in page.stdout

        ask(vhost, "pause", "--reason", "all of it")

        def is_told() -> bool:
            _code, found = status(vhost, relay.url)
            return any("paused" in worker["held_by"] for worker in found["workers"])

        wait_until(is_told, 30, "the worker's figures")
        code, found = status(vhost, relay.url)
        page = hopmail("status", **settings_of(vhost, relay.url))

    assert (code, found["flows"], found["obstacles"]) == (0, False, [])
    assert found["paused"]["bulk"]["reason"] == REASON
    assert found["paused"]["transactional"]["reason"] == "all of it"
    assert page.returncode == 0
    assert page.stdout.startswith("✓ mail waits, as it is paused\n")


def test_drain_waits_until_nothing_is_in_hands(vhost: VirtualHost) -> None:
    with (
        waiting_relay() as (relay, go_on),
        consuming(vhost.url, relay.url, worker=0, smtp_sessions=1) as process,
    ):
        vhost.publish_raw(EMAIL, message_id="m-1")
        wait_until(lambda: relay.dotted, 30, "the mail at its final dot")
        wait_until(lambda: _in_flight(vhost, relay) == 1, 30, "the worker's figures")
        at_limit = hopmail("drain", "--limit", "1s", **settings_of(vhost))
        with subprocess.Popen(
            [sys.executable, "-m", "consumer", "drain", "--reason", "deploy"],
            cwd=ROOT,
            env=environment(**settings_of(vhost)) | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            text=True,
        ) as drain:
            lines = iter(drain.stdout or ())
            for lane in Lane:
                assert next(lines).startswith(f"✓ {lane} was paused before: by ")
            assert next(lines) == "  until `hopmail resume`; see `hopmail status`\n"
            assert "1 mail is in hands" in next(lines)
            go_on.set()
            assert drain.wait(40) == 0
            *_, last = lines
        assert process.handled("m-1")

        vhost.publish_raw(EMAIL, message_id="m-2")
        assert "it was paused by" in ask(vhost, "resume")
        wait_until(lambda: process.handled("m-2"), 30, "the next mail")
        assert process.terminate() == 0

    assert at_limit.returncode == 1
    assert at_limit.stderr.startswith("✗ after 1s: 1 mail is in hands")
    assert at_limit.stderr.endswith("it stays paused, until `hopmail resume`\n")
    assert last == "✓ nothing is in hands\n"


def _in_flight(vhost: VirtualHost, relay: SmtpServer) -> int:
    _code, found = status(vhost, relay.url)
    return sum(worker["in_flight"] for worker in found["workers"])


def test_drain_without_workers_has_nothing_to_wait_for(vhost: VirtualHost) -> None:
    state_folder(vhost.url).mkdir(parents=True)

    ask(vhost, "pause", "--lane", "bulk", "--reason", REASON, "--by", "ada")
    first, second, until, last = ask(vhost, "drain").splitlines()

    assert first == "✓ transactional is paused: drained for a deploy"
    assert second.startswith("✓ bulk was paused before: by ada ")
    assert until == "  until `hopmail resume --lane transactional`; see `hopmail status`"
    assert last == "✓ nothing is in hands"

    (state_folder(vhost.url) / "control.json").write_text("{")
    assert ask(vhost, "resume").splitlines() == [
        "✓ control.json is mended: it is no JSON object",
        "✓ transactional is taken, if it was paused",
        "✓ bulk is taken, if it was paused",
    ]


def test_drain_without_figures_says_what_else_to_do(vhost: VirtualHost) -> None:
    ended = hopmail("drain", metrics_dir="none", **settings_of(vhost))

    assert ended.returncode == 78
    assert "use `hopmail pause`" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("pause",), "--reason"),
        (("pause", "--reason", " "), "a reason has 1 to 200 characters"),
        (("pause", "--reason", "x", "--lane", "other"), "transactional"),
        (("drain", "--limit", "0s"), "a duration is a whole number above 0"),
    ],
)
def test_what_cannot_be_asked_is_refused(arguments: tuple[str, ...], said: str) -> None:
    ended = hopmail(*arguments, amqp_url="amqp://h", smtp_url="smtp://h")

    assert ended.returncode == 2
    assert said in ended.stderr


def test_who_asks_is_told_by_login_and_host(vhost: VirtualHost) -> None:
    state_folder(vhost.url).mkdir(parents=True)
    ask(vhost, "pause", "--reason", REASON)

    assert f"@{socket.gethostname()} " in ask(vhost, "pause", "--reason", "again")


def test_a_state_folder_that_is_not_there_is_told(vhost: VirtualHost, tmp_path: Path) -> None:
    ended = hopmail("pause", "--reason", "x", **settings_of(vhost), state_dir=tmp_path / "none")

    assert ended.returncode == 1
    assert ended.stderr == f"✗ HOPMAIL_STATE_DIR: {tmp_path}/none: No such file or directory\n"
