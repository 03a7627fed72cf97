"""Postfix's smtp-sink: a fast real SMTP server that dumps each mail it takes into a file."""

import re
import shutil
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev.processes import free_ports
from tests.support.consumer_process import wait_until

MESSAGE_ID = re.compile(rb"^Message-ID: <([^@>]+)@", re.MULTILINE)


class SmtpSink:
    """A running smtp-sink and its dumps."""

    def __init__(self, directory: Path, *dump: str) -> None:
        program = shutil.which("smtp-sink", path="/usr/sbin:/usr/bin")
        assert program, "smtp-sink is missing: dev/setup test installs postfix"
        self._directory = directory
        directory.chmod(0o777)
        self.port = free_port()
        self._process = subprocess.Popen(
            [
                program,
                *("-u", "nobody", "-R", str(directory)),
                *(dump or ("-d", "mail.")),
                f"127.0.0.1:{self.port}",
                "1000",
            ]
        )
        wait_until(lambda: greets(self.port), 10, "smtp-sink")

    @property
    def url(self) -> str:
        """The relay URL."""
        return f"smtp://127.0.0.1:{self.port}?tls=none"

    def message_ids(self) -> Counter[str]:
        """Return how often each message id was taken."""
        return Counter(
            found[1].decode()
            for path in self._directory.glob("mail.*")
            if (found := MESSAGE_ID.search(path.read_bytes()))
        )

    def count(self) -> int:
        """Return how many mails were taken."""
        return sum(1 for _ in self._directory.glob("mail.*"))

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(10)


def greets(port: int) -> bool:
    """Whether an SMTP server on this machine takes connections yet."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            return connection.recv(3) == b"220"
    except OSError:
        return False


def free_port() -> int:
    """Return a port nobody listens on."""
    (port,) = free_ports(1)
    return port


@contextmanager
def smtp_sink(directory: Path, *dump: str) -> Iterator[SmtpSink]:
    """Run smtp-sink for the length of a block; `dump` replaces its one file per mail."""
    directory.mkdir(parents=True, exist_ok=True)
    for parent in directory.parents:
        if not parent.stat().st_mode & 0o001 and parent.is_relative_to("/tmp"):  # noqa: S108 - pytest's own folder
            parent.chmod(0o755)
    sink = SmtpSink(directory, *dump)
    try:
        yield sink
    finally:
        sink.stop()
