"""A real `hopmail consume` process, its log lines and its figures."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

READY_SECONDS = 20.0


def wait_until(condition: Callable[[], object], seconds: float = 15.0, what: str = "") -> None:
    """Poll until `condition` holds; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or condition}")
        time.sleep(0.02)


def state_folder(amqp_url: str) -> Path:
    """Return the folder that the consumers of one virtual host share, as if on one host."""
    name = hashlib.sha256(amqp_url.partition("@")[2].encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir(), f"hopmail-tests-{os.getuid()}", name)


class ConsumerProcess:
    """One consumer process; its standard output is read as JSON lines."""

    def __init__(
        self,
        amqp_url: str,
        smtp_url: str,
        program: tuple[str, ...] = ("-m", "consumer"),
        /,
        **settings: object,
    ) -> None:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("HOPMAIL_")
        }
        environment |= {
            "HOPMAIL_AMQP_URL": amqp_url,
            "HOPMAIL_SMTP_URL": smtp_url,
            "HOPMAIL_RETRY_DELAYS": "1s,2s",
            "HOPMAIL_LOG_FORMAT": "json",
            "HOPMAIL_STATE_DIR": str(state_folder(amqp_url)),
            **{f"HOPMAIL_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self.lines: list[dict[str, Any]] = []
        self.raw: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, *program, "consume"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=Path(__file__).parents[2],
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def wait_ready(self) -> None:
        """Wait until it takes deliveries, or has said why it does not."""

        def is_ready() -> bool:
            told = self.events("consuming") or self.events("ledger in trouble")
            return bool(told) or not self.is_alive

        wait_until(is_ready, READY_SECONDS, "start")
        assert self.is_alive, "\n".join(self.raw)

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def events(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines of one event."""
        return [line for line in list(self.lines) if line.get("event") == event]

    def handled(self, message_id: str) -> list[dict[str, Any]]:
        """Return the lines of one message's handled deliveries."""
        return [line for line in self.events("handled") if line.get("message_id") == message_id]

    def rss_bytes(self) -> int:
        """Return the resident set size."""
        return self._memory_bytes("VmRSS")

    def peak_rss_bytes(self) -> int:
        """Return the largest resident set size it ever had."""
        return self._memory_bytes("VmHWM")

    def _memory_bytes(self, name: str) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith(f"{name}:")]
        return int(line.split()[1]) * 1024

    def terminate(self, timeout_seconds: float = 40.0) -> int:
        """Send SIGTERM and return the exit code."""
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(timeout_seconds)
        self._reader.join(5)
        return code

    def signal(self, number: int) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def wait(self, timeout_seconds: float) -> int:
        """Wait for its end and return the exit code."""
        return self._process.wait(timeout_seconds)

    def kill(self) -> None:
        """End it at once, if it still runs."""
        if self.is_alive:
            self._process.kill()
        self._process.wait()
        self._reader.join(5)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self.raw.append(line)
            try:
                self.lines.append(json.loads(line))
            except ValueError:
                continue


@contextmanager
def consuming(amqp_url: str, smtp_url: str, **settings: object) -> Iterator[ConsumerProcess]:
    """Run a consumer process for the length of a block."""
    process = ConsumerProcess(amqp_url, smtp_url, ("-m", "consumer"), **settings)
    try:
        process.wait_ready()
        yield process
    finally:
        process.kill()
