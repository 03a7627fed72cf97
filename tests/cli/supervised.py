"""A real `hopmail run` and the tree of its processes, read from /proc."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.cli.command import ROOT, environment
from tests.support.consumer_process import wait_until


class Supervised:
    """A process that supervises, its output going to a file."""

    def __init__(self, output: Path, arguments: tuple[str, ...], variables: dict[str, str]) -> None:
        self._output = output
        with output.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    @property
    def text(self) -> str:
        """All that was written so far."""
        return self._output.read_text()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The log's lines so far, as JSON has them."""
        return [json.loads(line) for line in self.text.splitlines() if line.startswith("{")]

    def events(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines of one event."""
        return [line for line in self.lines if line["event"] == event]

    def tree(self) -> list[int]:
        """Return its process id and those of all below it."""
        found = [self._process.pid]
        for pid in found:
            found += _children(pid)
        return found

    def workers(self) -> dict[str, int]:
        """Return each worker's process id by its HOPMAIL_WORKER."""
        return {
            _variables(pid)["HOPMAIL_WORKER"]: pid
            for pid in self.tree()
            if "consume" in _arguments(pid)
        }

    def terminate(self) -> int:
        """Send SIGTERM and return the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self.wait()

    def signal(self, number: int) -> None:
        """Send it, and only it, a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once, and only it."""
        self._process.kill()
        self._process.wait()

    def wait(self, timeout_seconds: float = 45.0) -> int:
        """Return the exit code once it has ended."""
        return self._process.wait(timeout_seconds)

    def stop(self) -> None:
        """End it and all below it, whatever state it is in."""
        with suppress(subprocess.TimeoutExpired):
            self._process.terminate()
            self._process.wait(10)
        if self._process.poll() is None:
            tree = self.tree()
            for pid in tree:
                _kill(pid)
        self._process.wait()


@contextmanager
def supervised(output: Path, **settings: object) -> Iterator[Supervised]:
    """Run `hopmail run` for the length of a block."""
    found = Supervised(output, ("-m", "consumer", "run"), environment(**settings))
    try:
        yield found
    finally:
        found.stop()


def wait_consuming(found: Supervised, workers: int) -> None:
    """Wait until so many workers have said that they consume."""
    wait_until(
        lambda: len({line["worker"] for line in found.events("consuming")}) == workers,
        30,
        f"{workers} workers consuming",
    )


def is_running(pid: int) -> bool:
    """Whether a process exists and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _children(pid: int) -> list[int]:
    try:
        return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def _variables(pid: int) -> dict[str, str]:
    items = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(item.split("=", 1) for item in items if "=" in item)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
