"""Erlang's port mapper, one of our own, by which nodes find each other."""

import subprocess
from collections.abc import Sequence
from typing import Final

from dev.installation import PATH, installation
from dev.processes import LOOPBACK, free_ports, kill_group, wait_for_listener

START_SECONDS: Final = 5.0


class Mapper:
    """The running mapper; beside `addresses` it always listens on loopback, where nodes register.

    A node would start one of its own, which outlives it, where it finds none.
    """

    def __init__(self, addresses: Sequence[str] = (LOOPBACK,)) -> None:
        (self.port,) = free_ports(1)
        self._addresses = ",".join(addresses)
        self._installation = installation()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._process = self._installation.spawn(
            *("epmd", "-port", str(self.port), "-address", self._addresses),
            env={"PATH": PATH, "HOME": "/"},
            output=subprocess.DEVNULL,
        )
        wait_for_listener(self.port, START_SECONDS)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            kill_group(self._process)
            self._process = None
