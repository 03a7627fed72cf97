"""A consumer process does what an operator asks of all of its host, within a second."""

import logging
from collections.abc import Mapping
from typing import Protocol

from consumer.core.paused import Paused
from consumer.ops import logs
from consumer.ops.control import Control
from consumer.ops.logs import Level
from publisher_lib.routing import Lane

log = logging.getLogger(__name__)


class Pausing(Protocol):
    """What takes mail."""

    def pause(self, lanes: frozenset[Lane]) -> None:
        """Take mail of all lanes but these."""


class Obeying:
    """Looks at what is asked; `log_level` is the settings'. For one thread.

    A pause that is asked before there is a daemon holds from its start.
    """

    def __init__(self, control: Control, log_level: Level) -> None:
        self._control = control
        self._log_level = log_level
        self._paused: Mapping[Lane, Paused] = {}
        self._daemon: Pausing | None = None

    def attach(self, daemon: Pausing) -> None:
        """Have `daemon` obey too, from now on."""
        self._daemon = daemon
        daemon.pause(frozenset(self._paused))

    def look(self) -> None:
        """Look whether something else is asked now, and do it."""
        if (asked := self._control.look()) is None:
            return
        logs.change_level(asked.log_level or self._log_level)
        _tell(self._paused, asked.paused)
        self._paused = asked.paused
        if self._daemon is not None:
            self._daemon.pause(frozenset(asked.paused))


def _tell(before: Mapping[Lane, Paused], after: Mapping[Lane, Paused]) -> None:
    for lane in Lane:
        paused = after.get(lane)
        if paused == before.get(lane):
            continue
        if paused is None:
            log.warning("lane resumed", extra={"lane": str(lane)})
        else:
            since = paused.since.isoformat(timespec="seconds")
            told = {"by": paused.by, "detail": paused.reason, "since": since}
            log.warning("lane paused", extra={"lane": str(lane), **told})
