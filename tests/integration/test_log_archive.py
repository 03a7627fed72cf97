"""The archive of real consumers' logs: begun, full, or nowhere to be written."""

import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from consumer.core.topology import lane_queue
from publisher_lib.routing import Lane
from tests.cli.command import hopmail
from tests.cli.supervised import supervised
from tests.support.broker import VirtualHost
from tests.support.consumer_process import consuming, wait_until
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
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


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
        ("file/log", "✗ log archive: {folder}/file/log cannot be written by this user"),
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
