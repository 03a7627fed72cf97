"""What the scripts here share so that, however they end, nothing they started keeps running."""

import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import Final

LOOPBACK: Final = "127.0.0.1"

LISTENING_PORTS: Final = range(12_000, 32_000)
"""Below those that Linux gives to outgoing connections (ip_local_port_range): one of these could
take a port between our look and the listener's start."""
INTERRUPTED: Final = 128 + signal.SIGINT
TERMINATED: Final = 128 + signal.SIGTERM
COMMAND_STOP_SECONDS: Final = 60.0
ENDINGS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Terminated(SystemExit):
    """SIGTERM came; uncaught it is a silent exit with 143, as shells have it."""


def leave_on_signals() -> None:
    """Have SIGTERM and SIGHUP unwind the stack, as Ctrl-C does, so that what cleans up runs."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, _leave)


def _leave(number: int, _frame: FrameType | None) -> None:
    # Once: whoever signals the group, as `timeout` does, has make send it again amid the cleaning.
    signal.signal(number, lambda *_: None)
    raise (Terminated if number == signal.SIGTERM else SystemExit)(128 + number)


@contextmanager
def unhurried() -> Iterator[None]:
    """Put these signals off until the block is done.

    An exception between a fork and the assignment of its process would lose the process; one
    amid the cleaning up would leave the rest uncleaned.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pending: list[int] = []
    former = {
        number: signal.signal(number, lambda late, _frame: pending.append(late))
        for number in ENDINGS
    }
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        if pending:
            signal.raise_signal(pending[0])


def stop(
    process: "subprocess.Popen[bytes]", seconds: float, number: signal.Signals = signal.SIGTERM
) -> bool:
    """Signal a process and reap it; kill it after `seconds`, and return whether it obeyed."""
    process.send_signal(number)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    return True


def run(command: list[str], environment: dict[str, str]) -> int:
    """Run a command to its end and return its exit code; when we must leave, it leaves first."""
    process = None
    try:
        with unhurried():
            process = subprocess.Popen(command, env=environment)
        return process.wait()
    finally:
        if process is not None and process.poll() is None:
            with unhurried():
                # pytest takes down what its tests have started at SIGINT, not at SIGTERM.
                stop(process, COMMAND_STOP_SECONDS, signal.SIGINT)


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process that leads its own session, with all that it started in that, and reap it."""
    # Not where it is reaped already: then somebody else's group can have its number.
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_ports(count: int) -> tuple[int, ...]:
    """Return loopback ports nobody listens on, nor any connection gets by chance."""
    with ExitStack() as taken:
        ports: list[int] = []
        while len(ports) < count:
            port = random.choice(LISTENING_PORTS)  # noqa: S311 - no secret
            with suppress(OSError):
                taken.enter_context(socket.create_server((LOOPBACK, port)))
                ports.append(port)
    return tuple(ports)


def wait_for_listener(port: int, seconds: float) -> None:
    """Wait until somebody listens on a loopback port, at most so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex((LOOPBACK, port)) == 0:
                return
        time.sleep(0.02)
