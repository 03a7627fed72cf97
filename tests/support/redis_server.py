"""A real Redis of the test's own, which keeps what it says across its own end."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from tests.support.consumer_process import wait_until
from tests.support.smtp_sink import free_port


class RedisServer:
    """A redis-server on loopback, its files in `folder`; options as in redis.conf."""

    def __init__(self, folder: Path, *options: str) -> None:
        program = shutil.which("redis-server")
        assert program, "redis-server is missing: dev/setup.sh --with redis installs it"
        self.port = free_port()
        self._command = (
            program,
            *("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(folder)),
            *("--save", "", "--appendonly", "yes", "--appendfsync", "always"),
            *options,
        )
        self._output = folder / "output"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The ledger's URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self, password: str | None = None) -> redis.Redis:
        """Return a connection of the test's own."""
        return redis.Redis(port=self.port, password=password, socket_timeout=5, protocol=2)

    def start(self) -> None:
        """Start it, with all it had on disk."""
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(self._command, stdout=output, stderr=output)
        wait_until(self._answers, 10, "redis-server")

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once, if it runs."""
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.AuthenticationError:
            return True
        except redis.RedisError:
            return False


@contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[RedisServer]:
    """Run one for the length of a block."""
    server = RedisServer(folder, *options)
    try:
        server.start()
        yield server
    finally:
        server.kill()
