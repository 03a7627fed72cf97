"""`hopmail deadletters` on a real terminal: it asks, shows how far it is, and can be stopped."""

import fcntl
import os
import pty
import select
import subprocess
import sys
import termios
import time

import pytest

from consumer.core.topology import DEAD_QUEUE, lane_queue
from publisher_lib.routing import Lane
from tests.cli.command import ROOT, environment
from tests.support.broker import VirtualHost
from tests.support.dead_letters import bury, lying, many

NOWHERE = "smtp://127.0.0.1:9?tls=none"
QUESTION = b"[y/N]: "
CTRL_C, CTRL_D = b"\x03", b"\x04"
PATIENCE_SECONDS = 60
QUIET_SECONDS = 5


def on_terminal(
    vhost: VirtualHost, *arguments: str, answers: list[tuple[bytes, bytes]]
) -> tuple[int, str]:
    """Run a command with a terminal of its own, and answer what it says."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "consumer", "deadletters", *arguments],
        cwd=ROOT,
        env=environment(amqp_url=vhost.url, smtp_url=NOWHERE) | {"TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=_own_terminal,  # noqa: PLW1509 - nothing but one system call
    ) as process:
        os.close(theirs)
        try:
            said = b""
            for wanted, answer in answers:
                said += _until(ours, wanted)
                os.write(ours, answer)
            said += _until(ours, None, answers[-1][1])
        finally:
            os.close(ours)
            process.kill()
    return process.returncode, said.decode()


def _own_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _until(terminal: int, wanted: bytes | None, again: bytes = b"") -> bytes:
    """Read what it says, up to its end where nothing is wanted.

    A Ctrl-C that comes just before Python begins to read is not heard: it is sent again.
    """
    said, until = b"", time.monotonic() + PATIENCE_SECONDS
    while wanted is None or wanted not in said:
        assert time.monotonic() < until, said
        if not select.select([terminal], [], [], QUIET_SECONDS)[0]:
            os.write(terminal, again)
        else:
            try:
                said += os.read(terminal, 65536)
            except OSError:  # its end, on Linux
                return said
    return said


@pytest.mark.parametrize(
    ("command", "answer", "told"),
    [
        ("replay", b"n\n", "✗ nothing was done"),
        ("replay", CTRL_C, "Aborted."),
        ("purge", b"\n", "✗ nothing was done"),
        ("purge", CTRL_D, "Aborted."),
    ],
)
def test_without_a_yes_nothing_is_done(
    vhost: VirtualHost, command: str, answer: bytes, told: str
) -> None:
    vhost.declare_topology()
    bury(vhost, *many(3))

    code, said = on_terminal(vhost, command, "--all", answers=[(QUESTION, answer)])

    assert code == 1
    assert told in said
    assert lying(vhost) == ["m-0", "m-1", "m-2"]


def test_with_a_yes_it_is_done_and_ctrl_c_ends_it(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    bury(vhost, *many(3))

    code, said = on_terminal(
        vhost,
        *("replay", "--all", "--rate", "0.1"),
        answers=[(QUESTION, b"y\n"), (b"1/3", CTRL_C)],
    )

    given = vhost.queue_depth(lane_queue(Lane.TRANSACTIONAL))
    assert code == 1
    assert "looking" in said
    assert f"✓ {given} dead letter" in said
    assert "✗ stopped" in said
    vhost.wait_for_depth(DEAD_QUEUE, 3 - given)
