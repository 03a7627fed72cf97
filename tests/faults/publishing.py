"""Publishers beside the case: how far a storm is, and one in a process that is killed."""

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.faults.attempts import Attempts
from tests.support.consumer_process import wait_until

ROOT: Final = Path(__file__).parents[2]


class Progress:
    """How many emails of a storm were handed over; it is the storm's `on_each`."""

    def __init__(self) -> None:
        self._number = 0

    def __call__(self, number: int) -> None:
        self._number = number

    def wait_for(self, number: int, seconds: float = 90.0) -> None:
        """Wait until so many were handed over."""
        wait_until(lambda: self._number >= number, seconds, f"{number} published")


class Killed:
    """A publisher in a process of its own, killed at the end of the block."""

    def __init__(self, url: str, attempts: Attempts, prefix: str, count: int) -> None:
        self._arguments = (url, str(attempts.path), prefix, str(count))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.attempts", *self._arguments], cwd=ROOT
        )
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
