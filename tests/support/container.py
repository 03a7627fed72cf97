"""Processes as in containers of one host: with a host name, process ids and a /run of their own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from dev.processes import unhurried

HOPMAIL = Path(sys.executable).with_name("hopmail")
ENTER = 'mount -t tmpfs tmpfs /run && hostname "$1" && shift && exec "$@"'
STOP_SECONDS = 45.0


class Container:
    """A command as the first process of its own process ids, under a name of its own.

    What it writes goes to `log`.
    """

    def __init__(
        self, name: str, command: Sequence[str | Path], log: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self.log = log
        with log.open("wb") as output:
            self._outside = subprocess.Popen(
                [
                    *("unshare", "--uts", "--mount", "--propagation", "private"),
                    *("--pid", "--fork", "--kill-child", "--mount-proc"),
                    *("sh", "-c", ENTER, "sh", name, *command),
                ],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its first process, as seen from outside; waits for it."""
        path = Path(f"/proc/{self._outside.pid}/task/{self._outside.pid}/children")
        deadline = time.monotonic() + 10
        while not (children := path.read_text().split()):
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)
        return int(children[0])

    def wait(self, seconds: float = 60.0) -> int:
        """Wait for its end and return the exit code."""
        return self._outside.wait(seconds)

    def stop(self) -> int:
        """Stop it as `docker stop` does, and return its exit code."""
        os.kill(self.pid, signal.SIGTERM)
        return self.wait(STOP_SECONDS)

    def kill(self) -> None:
        """End it and all its processes at once, and wait until they have ended."""
        with unhurried(), suppress(ProcessLookupError, FileNotFoundError):
            if self._outside.poll() is None:
                # Its first process, which takes the others with it; unshare reaps it. To kill
                # unshare would not do: `--kill-child` is void once the child changes its user.
                os.kill(self.pid, signal.SIGKILL)
        self.wait(5)


@contextmanager
def container(
    name: str, command: Sequence[str | Path], log: Path, environment: Mapping[str, str]
) -> Iterator[Container]:
    """Run one for the length of a block."""
    made = Container(name, command, log, environment)
    try:
        yield made
    finally:
        made.kill()


def living_with(text: str) -> list[int]:
    """Return the processes that have a text in their environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if text.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found
