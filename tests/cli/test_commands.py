"""What the commands print, and their exit codes."""

import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from consumer.core.topology import topology
from tests.cli.command import hopmail
from tests.support.broker import LADDER, PASSWORD, VirtualHost
from tests.support.smtp_sink import free_port, smtp_sink

NOWHERE = "smtp://127.0.0.1:9?tls=none"
DELAYS = "1s,2s"


def test_alone_it_shows_its_commands() -> None:
    shown = hopmail()

    said = shown.stdout + shown.stderr
    assert not {"consume", "run", "check", "topology"} - set(said.split())


def test_it_tells_its_version() -> None:
    shown = hopmail("--version")

    assert (shown.returncode, shown.stdout) == (0, f"hopmail {version('hopmail')}\n")


@pytest.mark.parametrize(
    "command", [("consume",), ("run",), ("check",), ("topology", "apply"), ("topology", "check")]
)
def test_wrong_settings_are_a_line_each_and_exit_code_78(command: tuple[str, ...]) -> None:
    ended = hopmail(*command, amqp_url="amqp://user:hunter2@host:x", smtp_sessions=0)

    assert ended.returncode == 78
    assert ended.stdout == ""
    assert [line.split()[:2] for line in ended.stderr.splitlines()] == [
        ["✗", "HOPMAIL_AMQP_URL:"],
        ["✗", "HOPMAIL_SMTP_URL"],
        ["✗", "HOPMAIL_SMTP_SESSIONS:"],
    ]
    assert "hunter2" not in ended.stderr


def test_check_passes_where_all_is_well(vhost: VirtualHost, tmp_path: Path) -> None:
    vhost.declare_topology()

    with smtp_sink(tmp_path / "sink") as sink:
        ended = hopmail(
            "check",
            amqp_url=vhost.url,
            smtp_url=sink.url,
            retry_delays=DELAYS,
            metrics_dir=tmp_path,
        )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert {line[0] for line in ended.stdout.splitlines()} == {"✓"}
    assert "✓ topology: every exchange and queue is right" in ended.stdout
    assert f"✓ metrics: written to {tmp_path}" in ended.stdout
    assert PASSWORD not in ended.stdout


def test_check_names_the_cure_of_each_fault(vhost: VirtualHost, tmp_path: Path) -> None:
    ended = hopmail(
        "check",
        amqp_url=vhost.url,
        smtp_url=NOWHERE,
        retry_delays=DELAYS,
        metrics_dir=tmp_path / "none",
    )

    wrong = [line for line in ended.stdout.splitlines() if line.startswith("✗ ")]
    assert ended.returncode == 1
    (nothing,) = [line for line in wrong if line.startswith("✗ topology: ")]
    assert "more missing; run `hopmail topology apply`" in nothing
    assert [line for line in wrong if line.startswith("✗ relay connect: 127.0.0.1:9")]
    assert wrong[-1].startswith(f"✗ metrics: {tmp_path}/none is no folder")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda url: url.replace(PASSWORD, "wrong"), "refused the login"),
        (lambda url: f"{url}-none", "no such host"),
        (lambda _url: f"amqp://a:b@127.0.0.1:{free_port()}", "Connection refused"),
    ],
    ids=["password", "virtual host", "port"],
)
def test_check_says_why_the_broker_cannot_be_used(
    vhost: VirtualHost, change: Callable[[str], str], said: str
) -> None:
    ended = hopmail("check", amqp_url=change(vhost.url), smtp_url=NOWHERE)

    (line,) = [line for line in ended.stdout.splitlines() if "broker" in line]
    assert ended.returncode == 1
    assert line.startswith("✗ broker 127.0.0.1:")
    assert said in line
    assert "HOPMAIL_AMQP_URL" in line


def test_check_looks_at_every_broker(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    dead = re.sub(r":\d+/", f":{free_port()}/", vhost.url)

    ended = hopmail("check", amqp_url=f"{dead},{vhost.url}", smtp_url=NOWHERE, retry_delays=DELAYS)

    marks = [line[0] for line in ended.stdout.splitlines() if "broker" in line]
    assert (ended.returncode, marks) == (1, ["✗", "✓"])


def test_the_topology_is_applied_and_found_right(vhost: VirtualHost) -> None:
    settings = {"amqp_url": vhost.url, "smtp_url": NOWHERE, "retry_delays": DELAYS}

    before = hopmail("topology", "check", **settings)
    applied = [hopmail("topology", "apply", **settings) for _ in range(2)]
    after = hopmail("topology", "check", **settings)

    wanted = topology(LADDER)
    assert before.returncode == 1
    assert len(before.stdout.splitlines()) == len(wanted.exchanges) + len(wanted.queues)
    assert [ended.returncode for ended in applied] == [0, 0]
    assert (after.returncode, after.stdout) == (0, "✓ 3 exchanges and 7 queues are right\n")


def test_a_queue_of_another_shape_is_one_line_and_exit_code_78(vhost: VirtualHost) -> None:
    with vhost.channel() as channel:
        channel.queue_declare("email.dead.v1", durable=True, arguments={"x-queue-type": "classic"})

    ended = hopmail("topology", "apply", amqp_url=vhost.url, smtp_url=NOWHERE, retry_delays=DELAYS)

    (line,) = ended.stderr.splitlines()
    assert ended.returncode == 78
    assert line.startswith("✗ email.dead.v1: argument x-")
