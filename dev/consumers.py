"""`hopmail run` as a child: its settings, its log, its end."""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from dev.processes import stop, unhurried

HOPMAIL: Final = Path(sys.executable).with_name("hopmail")
PROCESSES: Final = 2
READY_SECONDS: Final = 30.0
STOP_SECONDS: Final = 45.0
POLL_SECONDS: Final = 0.1
SETTINGS: Final = "settings.env"
"""Read by a shell, they have `hopmail` ask for what is run here."""


class ConsumersFailed(Exception):
    """They do not run; the text says what is known."""


class Consumers:
    """The consumer processes under their supervisor, and what they log."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self._process = process
        self.log = log
        self._position = 0

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        return self._process.pid

    def new_lines(self) -> list[dict[str, Any]]:
        """Return what they logged since the last call; raise ConsumersFailed once they ended."""
        if self._process.poll() is not None:
            raise ConsumersFailed(f"`hopmail run` ended with {self._process.returncode}")
        with self.log.open("rb") as log:
            log.seek(self._position)
            whole = log.read().rpartition(b"\n")[0]
        self._position += len(whole)
        return [line for text in whole.splitlines() if (line := _as_json(text))]

    def wait_ready(self) -> None:
        """Wait until each of them takes deliveries."""
        deadline = time.monotonic() + READY_SECONDS
        ready = 0
        while ready < PROCESSES:
            if time.monotonic() > deadline:
                raise ConsumersFailed(f"{ready} of {PROCESSES} consumers came up")
            ready += sum(line["event"] == "consuming" for line in self.new_lines())
            time.sleep(POLL_SECONDS)


@contextmanager
def consuming(
    amqp_url: str, smtp_url: str, folder: Path, retry_delays: str, **more: str
) -> Iterator[Consumers]:
    """Run them for the length of a block; log and metrics are kept in `folder`, and settings.

    `more` are further settings, or others than usual: their variables without HOPMAIL_.
    """
    folder = folder.resolve()
    metrics, log = folder / "metrics", folder / "consumer.log"
    metrics.mkdir(parents=True, exist_ok=True)
    settings = {
        "HOPMAIL_AMQP_URL": amqp_url,
        "HOPMAIL_SMTP_URL": smtp_url,
        "HOPMAIL_RETRY_DELAYS": retry_delays,
        "HOPMAIL_PROCESSES": str(PROCESSES),
        "HOPMAIL_METRICS_DIR": str(metrics),
        "HOPMAIL_STATE_DIR": str(folder / "state"),
        "HOPMAIL_LOG_FORMAT": "json",
        "HOPMAIL_GRACE": "10s",
        **{f"HOPMAIL_{name.upper()}": value for name, value in more.items()},
    }
    _keep(settings, folder / SETTINGS)
    process = None
    try:
        with unhurried(), log.open("wb") as output:
            process = subprocess.Popen(
                [HOPMAIL, "run"],
                env=_foreign(os.environ) | settings,
                cwd=folder,  # not where a .env of the developer's lies
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A Ctrl-C is for us; we stop them in our order.
                start_new_session=True,
            )
        yield Consumers(process, log)
    finally:
        if process is not None:
            with unhurried():
                stop(process, STOP_SECONDS)


def _keep(settings: Mapping[str, str], path: Path) -> None:
    path.touch(0o600)
    lines = (f"export {name}={shlex.quote(value)}" for name, value in settings.items())
    path.write_text("".join(f"{line}\n" for line in lines))


def _foreign(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith("HOPMAIL_")}


def _as_json(text: bytes) -> dict[str, Any] | None:
    # What is wrong before the log begins is told in words.
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) and "event" in line else None
