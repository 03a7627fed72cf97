"""`hopmail status` beside real consumers, a real broker and a real relay."""

import fcntl
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from consumer.core.topology import DEAD_KEY, DEAD_QUEUE, lane_queue
from publisher_lib.routing import DEAD_EXCHANGE, Lane
from tests.cli.command import ROOT, environment, hopmail
from tests.support.broker import VirtualHost
from tests.support.consumer_process import consuming, wait_until
from tests.support.smtp_server import SmtpServer, smtp_server

EMAIL = json.dumps(
    {
        "email_to": "ada@example.org",
        "email_from": "app@example.org",
        "subject": "Hello",
        "message": {"text": "Hello"},
    }
).encode()
HOST = socket.gethostname()


def settings_of(vhost: VirtualHost, relay_url: str) -> dict[str, str]:
    return {"amqp_url": vhost.url, "smtp_url": relay_url, "retry_delays": "1s,2s"}


def look(vhost: VirtualHost, relay_url: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code, and what `--json` tells."""
    done = hopmail("status", "--json", **settings_of(vhost, relay_url))
    assert not done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_mail_flows_and_the_page_says_how(vhost: VirtualHost) -> None:
    with smtp_server() as relay, consuming(vhost.url, relay.url, worker=0):
        vhost.publish_raw(EMAIL)
        vhost.publish_raw(b"{", lane="bulk")
        vhost.publish_raw(EMAIL, lane=DEAD_KEY, exchange=DEAD_EXCHANGE)
        wait_until(lambda: _is_seen(vhost, relay), 30, "the figures of what was handled")

        code, found = look(vhost, relay.url)
        page = hopmail("status", **settings_of(vhost, relay.url))

    assert code == 0
    assert found["flows"]
    assert found["obstacles"] == []
    (worker,) = found["workers"]
    assert (worker["worker"], worker["alive"], worker["held_by"]) == (f"{HOST}-0", True, [])
    waiting = {queue["queue"]: queue["messages"] for queue in found["queues"]}
    assert (waiting[lane_queue(Lane.TRANSACTIONAL)], waiting[DEAD_QUEUE]) == (0, 2)
    assert worker["dead_letters"] == {"invalid_json": 1}
    assert found["lanes"]["transactional"]["last_acceptance"]
    assert found["lanes"]["bulk"]["last_acceptance"] is None
    assert page.returncode == 0
    assert page.stdout.startswith("✓ mail flows\n")
    for told in (DEAD_QUEUE, f"{HOST}-0", "consuming", "1 invalid_json"):
        assert told in page.stdout


def _is_connected(vhost: VirtualHost, relay: SmtpServer) -> bool:
    _code, found = look(vhost, relay.url)
    return any(worker["connected"] for worker in found["workers"])


def _is_seen(vhost: VirtualHost, relay: SmtpServer) -> bool:
    _code, found = look(vhost, relay.url)
    return any(worker["dead_letters"] for worker in found["workers"]) and bool(
        found["lanes"]["transactional"]["last_acceptance"]
    )


def test_without_a_worker_mail_does_not_flow(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    vhost.publish_raw(EMAIL)

    done = hopmail("status", **settings_of(vhost, "smtp://127.0.0.1:1?tls=none"))

    assert done.returncode == 1
    assert done.stdout.startswith("✗ mail does not flow\n  no consumer process is alive")
    assert f"{lane_queue(Lane.TRANSACTIONAL)}         1" in done.stdout


def test_a_relay_in_trouble_is_named_and_the_workers_are_well(vhost: VirtualHost) -> None:
    with smtp_server() as relay:
        url = relay.url
    began = datetime.now(UTC)
    with consuming(vhost.url, url, worker=0):
        vhost.publish_raw(EMAIL)

        def has_told() -> bool:
            code, found = look(vhost, url)
            return code == 1 and found["obstacles"] == [
                "every relay is in trouble, so mail waits: see `hopmail check`"
            ]

        wait_until(has_told, 30, "the relay's trouble")
        _code, found = look(vhost, url)
        page = hopmail("status", **settings_of(vhost, url))
        workers = hopmail("status", "--workers", **settings_of(vhost, url))

    (relay_seen,) = found["relays"]
    since = datetime.fromisoformat(relay_seen["in_trouble_since"])
    assert (relay_seen["in_trouble"], relay_seen["fails_at"]) == (True, ["CONNECT"])
    assert began <= since <= datetime.now(UTC)
    assert re.search(r"in trouble for \d+s, at CONNECT +0 *\n", page.stdout)
    assert found["workers"][0]["held_by"] == ["relay"]
    assert (workers.returncode, workers.stdout) == (0, "✓ 1 of 1 workers are alive\n")


def test_a_killed_worker_is_silent_within_thirty_seconds(vhost: VirtualHost) -> None:
    with smtp_server() as relay, consuming(vhost.url, relay.url, worker=0) as worker:
        wait_until(lambda: _is_connected(vhost, relay), 30, "the worker's figures")
        worker.signal(signal.SIGKILL)
        killed = time.monotonic()
        wait_until(lambda: look(vhost, relay.url)[0] == 1, 60, "its silence")
        seconds = time.monotonic() - killed
        done = hopmail("status", **settings_of(vhost, relay.url))
        workers = hopmail("status", "--workers", **settings_of(vhost, relay.url))

    assert seconds < 30
    assert "silent for" in done.stdout
    assert (workers.returncode, workers.stdout) == (1, "✗ 0 of ? workers are alive\n")


def test_a_broker_that_is_away_is_named(vhost: VirtualHost) -> None:
    settings = settings_of(vhost, "smtp://127.0.0.1:1?tls=none")
    with smtp_server() as relay, consuming(vhost.url, relay.url, worker=0):
        wait_until(lambda: _is_connected(vhost, relay), 30, "the worker's figures")
        folder = environment(**settings)["HOPMAIL_STATE_DIR"]

        away = settings | {"amqp_url": "amqp://127.0.0.1:1", "state_dir": folder}
        done = hopmail("status", "--json", **away)

    assert done.returncode == 1
    assert json.loads(done.stdout)["queues"] == []
    (told,) = json.loads(done.stdout)["obstacles"]
    assert told.startswith("broker 127.0.0.1:1: ")


def test_without_metrics_nothing_is_known(vhost: VirtualHost) -> None:
    settings = settings_of(vhost, "smtp://127.0.0.1:1?tls=none")

    done = hopmail("status", metrics_dir="none", **settings)

    assert done.returncode == 78
    assert done.stderr.startswith("✗ HOPMAIL_METRICS_DIR is `none`")


def test_what_does_not_go_together_is_refused(vhost: VirtualHost) -> None:
    settings = settings_of(vhost, "smtp://127.0.0.1:1?tls=none")

    done = hopmail("status", "--watch", "--json", **settings)

    assert done.returncode == 2
    assert "do not go together" in done.stderr


def test_it_is_watched_until_ctrl_c(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with subprocess.Popen(
        [sys.executable, "-m", "consumer", "status", "--watch"],
        cwd=ROOT,
        env=environment(**settings_of(vhost, "smtp://127.0.0.1:1?tls=none")) | {"TERM": "xterm"},
        stdout=theirs,
        stderr=theirs,
    ) as process:
        shown = b""
        while shown.count(b"mail does not flow") < 2:
            shown += os.read(ours, 65536)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    os.close(ours)
    os.close(theirs)
    assert b"start `hopmail run`" in b" ".join(shown.split()), "the end of a line of over 80"


def test_it_may_be_watched_through_a_pipe(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    with subprocess.Popen(
        [sys.executable, "-m", "consumer", "status", "--watch"],
        cwd=ROOT,
        env=environment(**settings_of(vhost, "smtp://127.0.0.1:1?tls=none")),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        looks = [line for line in islice(process.stdout, 20) if "mail does not flow" in line]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    assert len(looks) > 1
