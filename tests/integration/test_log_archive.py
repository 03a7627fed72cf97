"""The archive of real consumers' logs: begun, full, or nowhere to be written."""

import gzip
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from consumer.core.topology import lane_queue
from publisher_lib.routing import Lane
from tests.cli.command import ROOT, hopmail
from tests.cli.supervised import supervised
from tests.support.broker import VirtualHost
from tests.support.consumer_process import consuming, wait_until
from tests.support.small_disk import small_disk
from tests.support.smtp_server import smtp_server

EMAIL = b"""{"email_to": "ada@example.org", "email_from": "app@example.org",
"subject": "Hello", "message": {"text": "Hello"}}"""
QUEUE = lane_queue(Lane.TRANSACTIONAL)


def lines(folder: Path) -> list[dict[str, Any]]:
    """Return every line of every file."""
    texts = [
        gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for path in folder.glob("hopmail-*")
    ]
    return [json.loads(line) for text in texts for line in text.splitlines()]


def keep_publishing_until(vhost: VirtualHost, condition: Callable[[], object]) -> None:
    """Publish a mail again and again, as each brings a line."""

    def holds() -> object:
        vhost.publish_raw(EMAIL)
        return condition()

    wait_until(holds)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    with small_disk(tmp_path / "disk", 64) as place:
        yield place


def fill(disk: Path) -> None:
    with (disk / "rest").open("wb") as rest:
        os.posix_fallocate(rest.fileno(), 0, shutil.disk_usage(disk).free)


@pytest.mark.timeout(120)
def test_each_mail_of_two_processes_has_its_line_once(vhost: VirtualHost, tmp_path: Path) -> None:
    folder, mails = tmp_path / "log", 300
    vhost.declare_topology()
    with smtp_server() as server:
        settings = {"amqp_url": vhost.url, "smtp_url": server.url, "processes": 2}
        archive = {"log_dir": folder, "log_max_bytes": 10_000, "log_stdout": "no"}
        with supervised(tmp_path / "out", **settings, **archive) as run:
            wait_until(
                lambda: len([line for line in lines(folder) if line["event"] == "consuming"]) == 2,
                30,
                "both workers",
            )
            for number in range(mails):
                vhost.publish_raw(EMAIL, message_id=f"m-{number}")
            vhost.wait_for_depth(QUEUE, 0, 60)
            wait_until(lambda: list(folder.glob("*.log.gz")), 10, "a compressed file")
            assert run.terminate() == 0
            assert not run.events("handled")

    handled = [line["message_id"] for line in lines(folder) if line["event"] == "handled"]
    assert sorted(handled) == sorted(f"m-{number}" for number in range(mails))


def text_of(path: Path) -> str:
    # `hopmail run` makes it to see that it can, and removes it, before supervisor begins it.
    with suppress(FileNotFoundError):
        return path.read_text()
    return ""


def of_run(folder: Path) -> list[str]:
    """Return the details of the lines that `hopmail run` itself has in the archive."""
    texts = [text_of(path) for path in folder.glob("hopmail-*-run.log")]
    found = [json.loads(line) for text in texts for line in text.splitlines()]
    assert all(line["logger"] == "supervisor" and "worker" not in line for line in found)
    return [line["detail"].partition(" with pid")[0] for line in found]


def test_the_supervisor_s_lines_are_in_the_archive_before_and_after_sighup(
    vhost: VirtualHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "log"
    # Of its own accord supervisor closes what is above 4.
    (tmp_path / "sitecustomize.py").write_text("import os; os.open('/', 0), os.open('/', 0)")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), str(ROOT))))
    with smtp_server() as server:
        settings = {"amqp_url": vhost.url, "smtp_url": server.url, "processes": 1}
        with supervised(tmp_path / "out", **settings, log_dir=folder, log_stdout="no") as run:
            wait_until(lambda: "spawned: 'worker-0'" in of_run(folder), 30, "its start")
            # Forked, it is not yet the program.
            wait_until(lambda: "0" in run.workers(), 30, "the first process")
            first = run.workers()["0"]

            run.signal(signal.SIGHUP)

            wait_until(lambda: of_run(folder).count("spawned: 'worker-0'") == 2, 30, "the second")
            wait_until(lambda: run.workers().get("0", first) != first, 30, "the second process")
            assert run.terminate() == 0
            assert run.text == ""

    told = of_run(folder)
    assert "received SIGHUP indicating restart request" in told
    assert told.count("stopped: worker-0 (exit status 0)") == 2
    assert {path.name for path in folder.iterdir()} == {
        f"hopmail-{socket.gethostname()}-{whose}.log" for whose in ("0", "run")
    }


def test_what_is_told_on_standard_output_too_is_the_same(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    folder = tmp_path / "log"
    with smtp_server() as server:
        settings = {"amqp_url": vhost.url, "smtp_url": server.url, "processes": 1}
        with supervised(tmp_path / "out", **settings, log_dir=folder) as run:
            wait_until(lambda: run.events("consuming"), 30, "its work")
            assert run.terminate() == 0
            told = sorted(run.text.splitlines())

    assert told == sorted(
        line for path in folder.iterdir() for line in path.read_text().splitlines()
    )


def test_a_supervisor_without_a_line_leaves_no_file(vhost: VirtualHost, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    with smtp_server() as server:
        settings = {"amqp_url": vhost.url, "smtp_url": server.url, "processes": 1}
        with supervised(tmp_path / "out", **settings, log_dir=folder, log_level="ERROR") as run:
            wait_until(run.workers, 30, "the worker")
            assert run.terminate() == 0

    assert list(folder.iterdir()) == []


def test_a_run_that_does_not_begin_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    ended = hopmail(
        "run",
        amqp_url="amqp://127.0.0.1:9",
        smtp_url="smtp://127.0.0.1:9",
        state_dir=tmp_path / "file" / "state",
        log_dir=tmp_path / "log",
    )

    assert ended.returncode == 78
    assert list((tmp_path / "log").iterdir()) == []


def test_mail_goes_on_while_the_archive_s_disk_is_full(vhost: VirtualHost, disk: Path) -> None:
    with (
        smtp_server() as server,
        consuming(vhost.url, server.url, log_dir=disk) as process,
    ):
        fill(disk)
        for number in range(50):
            vhost.publish_raw(EMAIL, message_id=f"m-{number}")

        wait_until(lambda: len(server.mails) == 50, what="the mails")

        wait_until(lambda: len(process.events("handled")) == 50, what="their lines")
        assert len(process.events("log archive not written")) == 1
        (disk / "rest").unlink()
        keep_publishing_until(vhost, lambda: process.events("log archive is written again"))
        assert process.terminate() == 0


def test_it_starts_while_the_archive_s_disk_cannot_be_written(
    vhost: VirtualHost, disk: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with (
        smtp_server() as server,
        consuming(vhost.url, server.url, log_dir=disk, log_stdout="no") as process,
    ):
        (told,) = process.events("log archive not written")
        assert (told["level"], told["detail"]) == ("ERROR", "Read-only file system")

        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)

        keep_publishing_until(vhost, lambda: [x for x in lines(disk) if x["event"] == "handled"])
        assert process.terminate() == 0


@pytest.mark.parametrize("command", ["run", "consume"])
def test_a_folder_that_cannot_be_written_is_told_at_the_start(tmp_path: Path, command: str) -> None:
    (tmp_path / "file").write_text("")
    ended = hopmail(
        command,
        amqp_url="amqp://127.0.0.1:9",
        smtp_url="smtp://127.0.0.1:9",
        log_dir=tmp_path / "file" / "log",
    )

    assert ended.returncode == 78
    assert ended.stderr == (
        f"✗ HOPMAIL_LOG_DIR: {tmp_path}/file/log cannot be written by this user"
        " (Not a directory); create it for this user, or name another place\n"
    )


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("", "✓ log archive: off (HOPMAIL_LOG_DIR is none)"),
        ("log", "✓ log archive: {folder}/log"),
        ("file/log", "✗ log archive: {folder}/file/log cannot be written by this user (Not a dir"),
        ("/proc/nope", "✗ log archive: /proc/nope cannot be written by this user (No such"),
    ],
)
def test_check_tells_of_the_archive(tmp_path: Path, place: str, said: str) -> None:
    (tmp_path / "file").write_text("")

    ended = hopmail(
        "check",
        amqp_url="amqp://127.0.0.1:9",
        smtp_url="smtp://127.0.0.1:9",
        log_dir=tmp_path / place if place else "",
    )

    assert said.format(folder=tmp_path) in ended.stdout
    assert not list(tmp_path.glob("**/*.log"))
