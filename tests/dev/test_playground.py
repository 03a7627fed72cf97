import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from consumer.core.topology import DEAD_QUEUE
from dev.consumers import HOPMAIL
from dev.processes import stop
from publisher_lib import Publisher
from tests.dev.family import descendants, living
from tests.dev.script import ROOT, environment, output, start
from tests.support.broker import PASSWORD, VirtualHost
from tests.support.consumer_process import wait_until

READY = "Ctrl-C stops everything"


@contextmanager
def playing(folder: Path, url: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run it for the length of a block."""
    folder.mkdir(exist_ok=True)
    process = start("playground", folder, url)
    try:
        wait_until(lambda: READY in output(folder), 60, "a service")
        yield process
    finally:
        stop(process, 60)


def status(guide: str, folder: Path) -> str:
    """Ask as the guide says."""
    (line,) = [line for line in guide.splitlines() if "hopmail status" in line]
    command = line.partition("see also")[2].replace(".venv/bin/hopmail", str(HOPMAIL))
    bare = {name: text for name, text in os.environ.items() if not name.startswith("HOPMAIL_")}
    told = subprocess.run(
        ["sh", "-c", command], cwd=folder, env=bare, stdout=subprocess.PIPE, text=True, check=False
    )
    return str(told.stdout)


def paste(guide: str, url: str) -> None:
    """Do in Python's own prompt what the guide says."""
    snippet = guide.partition("and paste\n\n")[2].partition("  What the consumers")[0]
    told = subprocess.run(
        [sys.executable, "-i"],
        cwd=ROOT,
        input=snippet,
        env=environment(url),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Error" not in told.stderr


@pytest.mark.timeout(120)
def test_dead_letters_are_shown_copied_and_left_in_their_queue(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    with playing(tmp_path, vhost.url):
        for body in (b'{"email_from": 1}', b'{"email_from": 2}'):
            vhost.publish_raw(body, message_id="../../twice")
        wait_until(lambda: output(tmp_path).count("kept in") == 2, 20, "the breaches")
        paste(output(tmp_path), vhost.url)
        shown = partial(status, output(tmp_path), tmp_path)
        wait_until(lambda: "consuming" in shown(), 20, "a worker's next figures")
        wait_until(lambda: "y***@example.org" in output(tmp_path), 20, "the pasted mail")
        with Publisher(vhost.url) as publisher:
            publisher.send(
                to="nobody@example.org", from_="app@example.org", subject="Hello", text="Hello"
            )
        wait_until(lambda: output(tmp_path).count("kept in") == 3, 20, "the refusal")

    told = output(tmp_path)
    assert "detail   RCPT 550 5.1.1 No such mailbox here" in told
    assert "/email_from must be" in told
    assert "no recipient readable" in told
    assert PASSWORD not in told
    paths = sorted((tmp_path / ".state/run/dead-letters").iterdir())
    kept = [json.loads(path.read_text()) for path in paths]
    assert [letter["reason"] for letter in kept] == ["invalid", "invalid", "refused"]
    assert {letter["body"] for letter in kept[:2]} == {'{"email_from": 1}', '{"email_from": 2}'}
    assert len(vhost.take_all(DEAD_QUEUE)) == 3


@pytest.mark.timeout(120)
def test_a_second_one_beside_it_is_refused(vhost: VirtualHost, tmp_path: Path) -> None:
    with playing(tmp_path, vhost.url):
        first = output(tmp_path)
        mail = tmp_path / ".state/run/Maildir/new/mail"
        mail.touch()

        code = start("playground", tmp_path, vhost.url).wait(50)

        second = output(tmp_path)
        (tmp_path / "output").write_text(first)
        assert code == 1
        assert second == (
            "✗ another one is running and keeps its mail and log in .state/run: "
            "stop that one first\n"
        )
        assert mail.exists()


@pytest.mark.timeout(120)
def test_a_sigterm_that_comes_twice_ends_it_as_one_does(vhost: VirtualHost, tmp_path: Path) -> None:
    """As from `timeout make run`: to the whole group, and from make once more."""
    with playing(tmp_path, vhost.url) as process:
        process.terminate()
        wait_until(lambda: "stopping all of it" in output(tmp_path), 20, "the first one's effect")
        process.terminate()
        code = process.wait(60)

    assert code == 0
    assert "interrupted" not in output(tmp_path)


@pytest.mark.timeout(120)
def test_a_hang_up_that_only_make_is_told_of_ends_it(vhost: VirtualHost, tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text(f"run:\n\t@{sys.executable} -m dev.playground\n")
    terminal = subprocess.Popen(
        ["script", "--quiet", "--flush", "--command", "exec make run", "output"],
        cwd=tmp_path,
        env=environment(vhost.url) | {"SHELL": "/bin/sh"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until((tmp_path / "output").exists, 10, "an output")
        wait_until(lambda: READY in output(tmp_path), 60, "a service")
        started = descendants(terminal.pid)
    finally:
        terminal.send_signal(signal.SIGKILL)
        terminal.wait()

    wait_until(lambda: not started & living().keys(), 30, "an end of every process")
