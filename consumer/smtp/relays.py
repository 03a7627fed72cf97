"""The relays in their order, and whether any of them can take mail."""

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from consumer.core.folder_url import FolderURL
from consumer.core.relay_url import RelayURL
from consumer.core.trouble import Trouble
from consumer.smtp.breaker import LOOK_SECONDS
from consumer.smtp.failover import Failover
from consumer.smtp.member import Member
from consumer.smtp.pace import Pace

LAST_PROBE_SECONDS: Final = 5.0
"""For all probes together, once they are to stop."""


class Relays:
    """The relays of this process, the first preferred; `state_dir` is where their rates are kept.

    Raises OSError where a rate is to be kept and the folder cannot be written to.
    """

    def __init__(self, urls: Sequence[RelayURL | FolderURL], state_dir: Path) -> None:
        self.members = tuple(Member(url, _pace(url, state_dir)) for url in urls)
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._closed.set()
        self._callbacks: list[Callable[[], None]] = []
        for member in self.members:
            member.breaker.on_change(self._breaker_changed)

    @property
    def is_open(self) -> bool:
        """Whether every relay is in trouble."""
        return not self._closed.is_set()

    @property
    def sessions(self) -> int | None:
        """How many sessions they take at most from this process; None: any number."""
        limits = [member.url.sessions for member in self.members]
        return None if None in limits else sum(filter(None, limits))

    @property
    def troubles(self) -> Mapping[str, Trouble | None]:
        """What is amiss with a relay now, by its host and port; None: it is well."""
        return {member.name: member.breaker.trouble for member in self.members}

    @property
    def sessions_open(self) -> Mapping[str, int]:
        """How many sessions there are with a relay now, by its host and port."""
        return {member.name: member.pool.sessions_open for member in self.members}

    def on_change(self, callback: Callable[[], None]) -> None:
        """Have `callback` called after each change of `is_open`; it must not block."""
        self._callbacks.append(callback)

    def wait_until_closed(self, stop: threading.Event) -> bool:
        """Wait while every relay is in trouble; return False as soon as `stop` is set."""
        while not stop.is_set():
            if self._closed.wait(LOOK_SECONDS):
                return not stop.is_set()
        return False

    def transactor(self, stop: threading.Event) -> Failover:
        """Return a transactor; each thread needs its own. `stop` ends its waiting."""
        return Failover(self.members, stop)

    def stop(self) -> None:
        """Probe no more; wait shortly for the probes under way."""
        for patience_seconds in (0.0, LAST_PROBE_SECONDS / len(self.members)):
            for member in self.members:
                member.breaker.stop(patience_seconds)

    def _breaker_changed(self) -> None:
        # Breakers change in threads of their own; under one lock the last callback sees the end.
        with self._lock:
            are_open = all(member.breaker.is_open for member in self.members)
            if are_open == self.is_open:
                return
            if are_open:
                self._closed.clear()
            else:
                self._closed.set()
            for callback in self._callbacks:
                callback()


def _pace(url: RelayURL | FolderURL, state_dir: Path) -> Pace | None:
    if url.rate is None:
        return None
    return Pace(state_dir / f"pace-{re.sub(r'[^A-Za-z0-9.-]', '_', url.place)}", url.rate)
