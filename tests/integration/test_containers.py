"""Several containers of one host: `docker compose up --scale consumer=3`, less the images."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from consumer.core.topology import DEAD_QUEUE
from tests.cli.command import environment, hopmail
from tests.support.broker import VirtualHost
from tests.support.consumer_process import wait_until
from tests.support.container import HOPMAIL, Container, container, living_with
from tests.support.smtp_sink import SmtpSink, smtp_sink

NAMES = ("c0ffee000001", "c0ffee000002", "c0ffee000003")
MAILS = 200


def email(number: int) -> bytes:
    return json.dumps(
        {
            "email_to": f"user{number}@example.org",
            "email_from": "app@example.org",
            "subject": "Hello",
            "message": {"text": "Hello"},
        }
    ).encode()


class Host:
    """Containers that share the volumes `state` and `metrics`."""

    def __init__(self, folder: Path, vhost: VirtualHost, sink: SmtpSink) -> None:
        self._folder = folder
        self.metrics = folder / "metrics"
        self.settings = {
            "amqp_url": vhost.url,
            "smtp_url": sink.url,
            "state_dir": folder / "state",
            "metrics_dir": self.metrics,
            "retry_delays": "1s,2s",
            "if_uncertain": "hold",
            "processes": 2,
            "log_format": "json",
        }

    def run(self, name: str, stack: ExitStack) -> Container:
        told = environment(**self.settings) | {"TMPDIR": "/run"}
        return stack.enter_context(
            container(name, [HOPMAIL, "run"], self._folder / f"{name}.log", told)
        )

    def status(self) -> tuple[int, dict[str, Any]]:
        done = hopmail("status", "--json", **self.settings)
        return done.returncode, json.loads(done.stdout)

    def alive(self) -> set[str]:
        _code, found = self.status()
        return {worker["worker"] for worker in found["workers"] if worker["alive"]}


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[SmtpSink]:
    """Run a relay that keeps its mail."""
    folder = tmp_path / "mails"
    folder.mkdir()
    with smtp_sink(folder) as running:
        yield running


def workers_of(*names: str) -> set[str]:
    return {f"{name}-{number}" for name in names for number in range(2)}


def warnings_in(log: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [line for line in lines if line["level"] not in {"DEBUG", "INFO"}]


def test_three_share_one_ledger_and_each_has_its_figures(
    vhost: VirtualHost, sink: SmtpSink, tmp_path: Path
) -> None:
    vhost.declare_topology()
    for copy in range(2):
        for number in range(MAILS):
            lane = ("transactional", "bulk")[(number + copy) % 2]
            vhost.publish_raw(email(number), lane=lane, message_id=f"m-{number}")
    host = Host(tmp_path, vhost, sink)

    with ExitStack() as stack:
        first, second, third = (host.run(name, stack) for name in NAMES)
        wait_until(lambda: host.alive() == workers_of(*NAMES), 60, "all workers")
        wait_until(lambda: len(sink.message_ids()) == MAILS, 60, "every mail")
        code, found = host.status()

        assert code == 0, found["obstacles"]
        assert {path.name for path in host.metrics.glob("*.prom")} == {
            f"hopmail-{worker}.prom" for worker in workers_of(*NAMES)
        }
        assert [first.stop(), second.stop(), third.stop()] == [0, 0, 0]

    assert set(sink.message_ids().values()) == {1}
    assert vhost.queue_depth(DEAD_QUEUE) == 0
    assert list(host.metrics.glob("*.prom")) == []
    assert [warnings_in(each.log) for each in (first, second, third)] == [[], [], []]


def test_one_that_is_killed_leaves_its_mail_to_the_others_who_send_none_twice(
    vhost: VirtualHost, sink: SmtpSink, tmp_path: Path
) -> None:
    vhost.declare_topology()
    for number in range(MAILS):
        vhost.publish_raw(email(number), message_id=f"m-{number}")
    host = Host(tmp_path, vhost, sink)

    with ExitStack() as stack:
        killed, *_others = (host.run(name, stack) for name in NAMES)
        wait_until(lambda: sink.count() > MAILS // 10, 60, "some mails")
        killed.kill()

        def is_done() -> bool:
            # What the relay may have taken from the killed one is held, and counted as dead.
            unsent = MAILS - len(sink.message_ids())
            return unsent <= vhost.queue_depth(DEAD_QUEUE)

        wait_until(is_done, 60, "every mail")
        wait_until(lambda: host.alive() >= workers_of(*NAMES[1:]), 60, "the other workers")
        wait_until(lambda: host.status()[0] == 0, 60, "a flow of mail")

    assert set(sink.message_ids().values()) == {1}


def test_nothing_is_left_of_one_that_became_another_user(tmp_path: Path) -> None:
    mark = f"HOPMAIL_TEST_MARK={tmp_path}"
    told = dict(os.environ) | dict([mark.split("=", 1)])
    others = "setsid sleep 60 & echo up; exec sleep 60"
    command = ["setpriv", "--reuid=65534", "--clear-groups", "sh", "-c", others]

    with container("c0ffee", command, tmp_path / "log", told) as made:
        wait_until(lambda: "up" in made.log.read_text(), what="its start")
        assert len(living_with(mark)) >= 3

    assert living_with(mark) == []
