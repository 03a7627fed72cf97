"""The log of `hopmail run` itself: set in one program, written by the next in the same process."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Final

from consumer.ops import logs
from consumer.ops.archive import Archive
from consumer.ops.control import Control
from consumer.settings import Settings

RUN: Final = "run"
"""Whose the archive's files are that no worker writes, but `hopmail run` itself."""

LEVEL: Final = "SUPERVISE_LOG_LEVEL"
FORMAT: Final = "SUPERVISE_LOG_FORMAT"
FOLDER: Final = "SUPERVISE_LOG_DIR"
MAX_BYTES: Final = "SUPERVISE_LOG_MAX_BYTES"
KEEP_SECONDS: Final = "SUPERVISE_LOG_KEEP_SECONDS"
STDOUT: Final = "SUPERVISE_LOG_STDOUT"
STATE: Final = "SUPERVISE_STATE_DIR"


def log_variables(settings: Settings) -> dict[str, str]:
    """Return the variables that `begin_log` reads, of settings that are checked here, once."""
    return {
        LEVEL: settings.log_level,
        FORMAT: settings.log_format,
        FOLDER: "" if settings.log_dir is None else str(settings.log_dir),
        MAX_BYTES: str(settings.log_max_bytes),
        KEEP_SECONDS: f"{settings.log_keep.total_seconds():.0f}",
        STDOUT: settings.log_stdout,
        STATE: str(settings.state_dir),
    }


class RunLog:
    """The log, begun: its archive, if there is one, and what an operator asks of it."""

    def __init__(self, level: logs.Level, archive: Archive | None, control: Control) -> None:
        self._level, self._archive, self._control = level, archive, control

    def tend(self) -> None:
        """See to what no line brings about. To be called about once a second."""
        if self._archive is not None:
            self._archive.tend()
        if (asked := self._control.look()) is not None:
            logs.change_level(asked.log_level or self._level)


def begin_log() -> RunLog:
    """Begin the log. The file of its archive is made with its first line."""
    given = os.environ
    archive = None
    level: logs.Level = given[LEVEL]  # type: ignore[assignment]  # `hopmail run` checked it
    if given[FOLDER]:
        keep = timedelta(seconds=int(given[KEEP_SECONDS]))
        archive = Archive(Path(given[FOLDER]), RUN, int(given[MAX_BYTES]), keep)
    logs.configure(
        level,
        given[FORMAT],  # type: ignore[arg-type]  # as above
        None,
        archive,
        to_stdout=given[STDOUT] == "yes",
    )
    return RunLog(level, archive, Control(Path(given[STATE])))
