"""The one `smtp-sink` that takes everybody's mail, and how many it had taken when.

With `-c` it writes its counter after each mail, into a pipe that is looked at now and then: for
the sink one short write per mail, for us nothing that grows with the mails.
"""

import fcntl
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from benchmarks.failed import BenchmarkFailed
from benchmarks.figures import Timeline, reached
from benchmarks.processes import child
from dev.processes import LOOPBACK, free_ports, wait_for_listener

LOOK_SECONDS: Final = 0.005
PIPE_BYTES: Final = 1024 * 1024
"""Room for what a sink counts in seconds: while the pipe is full it would stand still."""

START_SECONDS: Final = 10.0
MAILS: Final = re.compile(rb"mesg=(\d+)\r")
PATH: Final = "/usr/sbin:/usr/bin"


class Sink:
    """A running smtp-sink."""

    def __init__(self, port: int, counter: int) -> None:
        self.port = port
        self._counter = counter
        self._timeline: list[tuple[float, int]] = [(time.monotonic(), 0)]
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._look_often, name="sink", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens, for HOPMAIL_SMTP_URL."""
        return relay_url(self.port)

    @property
    def count(self) -> int:
        """How many mails it has taken."""
        return self._timeline[-1][1]

    @property
    def timeline(self) -> Timeline:
        """How many it had taken when; a moment for each look that found more."""
        return self._timeline

    def wait_for(self, count: int, seconds: float) -> float:
        """Wait until it has taken so many in all; return the moment. Raises BenchmarkFailed."""
        deadline = time.monotonic() + seconds
        while self.count < count:
            if time.monotonic() > deadline:
                raise BenchmarkFailed(f"{count - self.count} mails did not come in {seconds:.0f} s")
            time.sleep(LOOK_SECONDS)
        return reached(self._timeline, count)[0]

    def close(self) -> None:
        """Look no more."""
        self._closing.set()
        self._thread.join()

    def _look_often(self) -> None:
        tail = b""
        while not self._closing.wait(LOOK_SECONDS):
            with suppress(BlockingIOError):
                tail = (tail + os.read(self._counter, PIPE_BYTES))[-PIPE_BYTES:]
            # The last counter may be half written still.
            end = tail.rfind(b"\r") + 1
            if found := MAILS.search(tail, max(0, tail.rfind(b"mesg=", 0, end)), end):
                self._note(int(found[1]))
            tail = tail[end:]

    def _note(self, count: int) -> None:
        if count > self.count:
            self._timeline.append((time.monotonic(), count))


def relay_url(port: int) -> str:
    """Return a relay's URL for HOPMAIL_SMTP_URL."""
    return f"smtp://{LOOPBACK}:{port}?tls=none"


@contextmanager
def smtp_sink() -> Iterator[Sink]:
    """Run a sink that counts, for the length of a block."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    os.set_blocking(reading, False)
    try:
        with sink_process("-c", output=writing) as port:
            sink = Sink(port, reading)
            try:
                yield sink
            finally:
                sink.close()
    finally:
        os.close(reading)
        os.close(writing)


@contextmanager
def sink_process(*options: str, output: int = subprocess.DEVNULL) -> Iterator[int]:
    """Run an smtp-sink for the length of a block, and yield its port."""
    (port,) = free_ports(1)
    # Root's it must not be: it refuses to.
    account = ("-u", "nobody") if os.geteuid() == 0 else ()
    command = [program("smtp-sink"), *account, *options, f"{LOOPBACK}:{port}", "1000"]
    with child(command, stdout=output):
        wait_for_listener(port, START_SECONDS)
        yield port


def program(name: str) -> str:
    """Return the path of a tool of Postfix's. Raises BenchmarkFailed where it is missing."""
    found = shutil.which(name, path=PATH)
    if found is None:
        raise BenchmarkFailed(f"{name} is missing: dev/setup.sh --with smtp-sink installs it")
    return found
