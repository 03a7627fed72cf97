"""The log of `hopmail run` itself: set in one program, written by the next in the same process."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Final

from consumer.ops import logs
from consumer.ops.archive import Archive
from consumer.settings import Settings

RUN: Final = "run"
"""Whose the archive's files are that no worker writes, but `hopmail run` itself."""

LEVEL: Final = "SUPERVISE_LOG_LEVEL"
FORMAT: Final = "SUPERVISE_LOG_FORMAT"
FOLDER: Final = "SUPERVISE_LOG_DIR"
MAX_BYTES: Final = "SUPERVISE_LOG_MAX_BYTES"
KEEP_SECONDS: Final = "SUPERVISE_LOG_KEEP_SECONDS"
STDOUT: Final = "SUPERVISE_LOG_STDOUT"


def log_variables(settings: Settings) -> dict[str, str]:
    """Return the variables that `begin_log` reads, of settings that are checked here, once."""
    return {
        LEVEL: settings.log_level,
        FORMAT: settings.log_format,
        FOLDER: "" if settings.log_dir is None else str(settings.log_dir),
        MAX_BYTES: str(settings.log_max_bytes),
        KEEP_SECONDS: f"{settings.log_keep.total_seconds():.0f}",
        STDOUT: settings.log_stdout,
    }


def begin_log() -> Archive | None:
    """Begin the log; return its archive, if there is one. Its file is made with its first line."""
    given = os.environ
    archive = None
    if given[FOLDER]:
        keep = timedelta(seconds=int(given[KEEP_SECONDS]))
        archive = Archive(Path(given[FOLDER]), RUN, int(given[MAX_BYTES]), keep)
    logs.configure(
        given[LEVEL],  # type: ignore[arg-type]  # `hopmail run` checked it
        given[FORMAT],  # type: ignore[arg-type]  # as above
        None,
        archive,
        to_stdout=given[STDOUT] == "yes",
    )
    return archive
