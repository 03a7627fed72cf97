"""What the commands print, and their exit codes."""

import re
from collections.abc import Callable, Iterator
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from consumer.cli import panels
from consumer.cli.app import app
from consumer.core.topology import topology
from tests.cli.command import hopmail
from tests.support.broker import LADDER, PASSWORD, VirtualHost
from tests.support.redis_server import redis_server
from tests.support.smtp_sink import free_port, smtp_sink

DEAD_BROKER = "amqp://a:b@127.0.0.1:9"
NOWHERE = "smtp://127.0.0.1:9?tls=none"
DELAYS = "1s,2s"


def test_alone_it_shows_its_commands() -> None:
    shown = hopmail()

    said = shown.stdout + shown.stderr
    assert not {"consume", "run", "check", "topology"} - set(said.split())


def test_alone_it_shows_them_in_groups_with_one_line_each() -> None:
    shown = hopmail()

    lines = [line.strip("│╭╮╰╯─ ") for line in (shown.stdout + shown.stderr).splitlines()]
    groups = [panels.RUN, panels.LOOK, panels.MAIL, panels.SET_UP]
    assert [line for line in lines if line in groups] == groups
    told = lines[lines.index(panels.RUN) + 1 :]
    commands = [line for line in told if line and line not in groups]
    # A line that goes on would begin with no command.
    assert all(re.match(r"[a-z-]+ {2,}[A-Z]", line) for line in commands), commands
    assert {"run", "pause", "resume", "drain", "status", "classify", "send", "validate"} <= {
        line.split()[0] for line in commands
    }


def every_command(command: Any, *name: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each command with its name, the whole one first."""
    yield name, command
    for word, each in getattr(command, "commands", {}).items():
        yield from every_command(each, *name, word)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        pytest.param(*each, id=" ".join(each[0]))
        for each in every_command(typer.main.get_command(app))
    ],
)
def test_each_help_page_reads_well_in_80_columns(name: tuple[str, ...], command: Any) -> None:
    shown = CliRunner().invoke(app, [*name, "--help"], env={"COLUMNS": "80"})

    assert shown.exit_code == 0
    for of_python in ("<bool>", "<list[", "| None", "range>"):
        assert of_python not in shown.stdout.split("Options ─", 1)[1]
    lines = [line.strip() for line in shown.stdout.splitlines()]
    assert max(map(len, lines)) <= 80
    told = "\n".join(lines).split("╭─", 1)[0]
    for paragraph in told.strip().split("\n\n"):
        for line, following in pairwise(paragraph.splitlines()):
            # Where there is room for the next word, the line was ended by hand.
            assert len(line) + len(following.split()[0]) >= 78, line
    for parameter in command.get_params(typer.Context(command)):
        assert parameter.help, parameter.name


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


def ledger_lines(**settings: object) -> list[str]:
    ended = hopmail("check", amqp_url=DEAD_BROKER, smtp_url=NOWHERE, **settings)
    assert PASSWORD not in ended.stdout
    return [line for line in ended.stdout.splitlines() if " ledger: " in line or " state: " in line]


def test_check_says_what_a_ledger_file_needs(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    (good,) = ledger_lines(state_dir=tmp_path / "made" / "later")
    (none,) = ledger_lines(ledger_url="none")

    file = tmp_path / "made" / "later" / "ledger.sqlite3"
    assert good == f"✓ ledger: {file} can be written; all workers of this host must share it"
    assert file.stat().st_size > 0, "begun as the daemon would"
    assert list(file.with_name("ledger.sqlite3.owners").glob("[!.]*")) == []
    assert none.startswith("✓ ledger: none: what is delivered twice is sent twice")


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("{}/file/ledger", "HOPMAIL_LEDGER_URL: {}/file cannot be written by this user (Not a dir"),
        ("/proc/nope", "HOPMAIL_LEDGER_URL: /proc cannot be written by this user (No such file"),
        ("/proc/no/pe", "HOPMAIL_LEDGER_URL: /proc/no cannot be written by this user (No such"),
        ("{}/folder", "{}/folder: Is a directory"),
        ("{}/file", "{}/file: file is not a database"),
    ],
)
def test_check_says_why_a_ledger_file_cannot_be_used(tmp_path: Path, place: str, said: str) -> None:
    (tmp_path / "file").write_bytes(b"no database" * 1000)
    (tmp_path / "folder").mkdir()

    (bad,) = ledger_lines(ledger_url=f"sqlite://{place.format(tmp_path)}")

    assert bad.startswith(f"✗ ledger: {said.format(tmp_path)}")


def test_check_says_why_the_state_folder_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    (ledger,) = ledger_lines(state_dir=tmp_path / "file")
    (state, redis) = ledger_lines(state_dir=tmp_path / "file", ledger_url="redis://127.0.0.1:1/0")

    why = f"HOPMAIL_STATE_DIR: {tmp_path}/file cannot be written by this user ("
    assert ledger.startswith(f"✗ ledger: {why}")
    assert state.startswith(f"✗ state: {why}")
    assert redis.startswith("✗ ledger: redis://127.0.0.1:1/0: ")


def test_check_looks_whether_redis_keeps_what_it_is_told(tmp_path: Path) -> None:
    with (
        redis_server(tmp_path, "--requirepass", PASSWORD) as server,
        server.client(PASSWORD) as client,
    ):
        url = server.url.replace("//", f"//:{PASSWORD}@")

        good = ledger_lines(state_dir=tmp_path, ledger_url=url)
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("appendfsync", "everysec")
        bad = ledger_lines(state_dir=tmp_path, ledger_url=url)

    assert {line[0] for line in good} == {"✓"}
    assert f"127.0.0.1:{server.port}/0: Redis " in good[1]
    assert good[1].endswith(", login accepted, can be written")
    assert [line for line in bad if line.startswith("✗")] == [
        (
            "✗ ledger: Redis' maxmemory-policy is allkeys-lru, so a full Redis would forget"
            " what was sent; set `maxmemory-policy noeviction` in redis.conf"
        ),
        (
            "✗ ledger: Redis' appendfsync is everysec, so a Redis that crashes would forget"
            " its last second; set `appendfsync always` in redis.conf"
        ),
    ]


def test_check_says_what_redis_does_not_tell(tmp_path: Path) -> None:
    with redis_server(tmp_path, "--rename-command", "CONFIG", "") as server:
        _folder, _login, *told = ledger_lines(state_dir=tmp_path, ledger_url=server.url)

    assert told == [
        "✓ ledger: Redis' maxmemory-policy is noeviction",
        "✓ ledger: Redis' appendonly is yes",
        (
            "✓ ledger: Redis' appendfsync could not be verified: it does not tell; it must be"
            " always, or a Redis that crashes would forget its last second"
        ),
    ]


@pytest.mark.parametrize(
    ("login", "said"), [("", "Authentication required"), (":wrong@", "invalid username-password")]
)
def test_check_says_why_redis_cannot_be_used(tmp_path: Path, login: str, said: str) -> None:
    with redis_server(tmp_path, "--requirepass", PASSWORD) as server:
        url = server.url.replace("//", f"//{login}")
        told = ledger_lines(state_dir=tmp_path, ledger_url=url)
    gone = ledger_lines(state_dir=tmp_path, ledger_url=url)

    assert told[1].startswith("✗")
    assert said in told[1]
    assert gone[1].endswith("refused.; check HOPMAIL_LEDGER_URL and that Redis runs there")


def test_check_names_the_cure_of_each_fault(vhost: VirtualHost, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    ended = hopmail(
        "check",
        amqp_url=vhost.url,
        smtp_url=NOWHERE,
        retry_delays=DELAYS,
        metrics_dir=tmp_path / "file" / "metrics",
    )

    wrong = [line for line in ended.stdout.splitlines() if line.startswith("✗ ")]
    assert ended.returncode == 1
    (nothing,) = [line for line in wrong if line.startswith("✗ topology: ")]
    assert "more missing; run `hopmail topology apply`" in nothing
    assert [line for line in wrong if line.startswith("✗ relay connect: 127.0.0.1:9")]
    assert wrong[-1] == (
        f"✗ metrics: {tmp_path}/file/metrics cannot be written by this user (Not a directory);"
        " create it for this user, or name another place in HOPMAIL_METRICS_DIR"
    )


def metrics_line(**settings: object) -> str:
    ended = hopmail("check", amqp_url=DEAD_BROKER, smtp_url=NOWHERE, **settings)
    (line,) = [line for line in ended.stdout.splitlines() if " metrics: " in line]
    return line


def test_check_says_where_metrics_go_and_who_can_read_them(tmp_path: Path) -> None:
    folder, closed = tmp_path / "open", tmp_path / "closed"
    closed.mkdir(mode=0o750)
    for path in (*tmp_path.parents, tmp_path):
        path.chmod(path.stat().st_mode | 0o011)

    assert metrics_line(state_dir=folder) == f"✓ metrics: written to {folder}/metrics"
    assert not (folder / "metrics").exists(), "it only looks"
    assert metrics_line(state_dir=closed) == (
        f"✓ metrics: written to {closed}/metrics; only users who may look into {closed} can read it"
    )
    assert metrics_line(state_dir=tmp_path, metrics_dir="none") == (
        "✓ metrics: off (HOPMAIL_METRICS_DIR is none)"
    )


def test_check_probes_every_relay_and_names_it(vhost: VirtualHost, tmp_path: Path) -> None:
    vhost.declare_topology()

    with smtp_sink(tmp_path / "sink") as sink:
        ended = hopmail(
            "check",
            amqp_url=vhost.url,
            smtp_url=f"{NOWHERE},{sink.url}",
            retry_delays=DELAYS,
        )

    relays = [line for line in ended.stdout.splitlines() if " relay " in line]
    place = sink.url.removeprefix("smtp://").partition("?")[0]
    assert ended.returncode == 1
    assert relays[0].startswith("✗ relay 127.0.0.1:9 connect: ")
    assert relays[1] == f"✓ relay {place} connect: {place}"
    assert {line.split()[2] for line in relays[1:]} == {place}
    assert {line[0] for line in relays[1:]} == {"✓"}


def test_check_looks_where_rates_are_kept(tmp_path: Path) -> None:
    def said(folder: Path) -> str:
        ended = hopmail(
            "check",
            amqp_url=f"amqp://a:b@127.0.0.1:{free_port()}",
            smtp_url=f"{NOWHERE}&rate=1",
            state_dir=folder,
        )
        (line,) = [line for line in ended.stdout.splitlines() if "rates:" in line]
        return line

    assert said(tmp_path) == f"✓ rates: kept in {tmp_path}"
    assert said(tmp_path / "none").startswith(f"✗ rates: {tmp_path}/none is no folder")


@pytest.mark.parametrize("command", ["consume", "run"])
def test_a_rate_that_cannot_be_kept_is_told(command: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    ended = hopmail(
        command,
        amqp_url=f"amqp://a:b@127.0.0.1:{free_port()}",
        smtp_url=f"{NOWHERE}&rate=1",
        state_dir=tmp_path / "file" / "state",
        ledger_url="none",
    )

    (line,) = [line for line in (ended.stdout + ended.stderr).splitlines() if "rate" in line]
    assert ended.returncode == 78
    assert line.startswith("✗ HOPMAIL_STATE_DIR: a relay's rate cannot be kept in ")
    assert line.endswith("Not a directory; create the folder and let this user write to it")


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
