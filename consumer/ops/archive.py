"""The log in files: a handler that begins a new one each day and when one is full."""

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from logging.handlers import BaseRotatingHandler
from pathlib import Path
from typing import Any, Final

from consumer.ops.archive_files import name_of, open_file, rotated, tidy
from consumer.ops.locks import is_at

log = logging.getLogger(__name__)

DAY_SECONDS: Final = 86_400
TIDY_SECONDS: Final = 3600.0
ROTATE_AGAIN_SECONDS: Final = 60.0
WRITE_AGAIN_SECONDS: Final = 5.0
"""Until the next try, where one has failed. On a disk that is nearly full a short line may find
room between two long ones that do not."""

LAST_TIDY_SECONDS: Final = 1.0
"""That an ending process waits; what is not done then, the next one does."""


class Archive(BaseRotatingHandler):
    """Writes lines to a file of this process's own, in `folder`.

    It is renamed once it has `max_bytes`, and at the end of the day (UTC). Where it cannot be
    written, that is logged once, and `instead` gets the lines.
    """

    stream: Any
    """A `WholeLines`; None while there is none."""

    def __init__(self, folder: Path, whose: str, max_bytes: int, keep: timedelta) -> None:
        self._folder, self._begin = folder, name_of(whose)
        super().__init__(folder / f"{self._begin}.log", "a", delay=True)
        self._max_bytes = max_bytes
        self._keep = keep
        self._day = 0
        self._missed = 0
        self._write_again_seconds = 0.0
        self._rotate_again_seconds = 0.0
        self._tidy_again_seconds = 0.0
        self._tidier: threading.Thread | None = None
        self.instead: logging.Handler | None = None

    def open(self) -> None:
        """Open the file, if it is not. Raises OSError."""
        with self._alone():
            if self.stream is None:
                self.stream = self._open()

    def tend(self) -> None:
        """See to what no line brings about. To be called about once a second.

        A day may end, or somebody take the file away. What is full is compressed, and what is older
        than `keep` removed, by a thread beside that ends when it has.
        """
        with self._alone():
            if self.stream is not None and not is_at(Path(self.baseFilename), self.stream.inode):
                self._let_go()
            if self.stream is not None and self._is_due(time.time()):
                self.doRollover()
        if time.monotonic() > self._tidy_again_seconds:
            self._tidy()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        if time.monotonic() < self._write_again_seconds:
            self._miss(record)
            return
        missed = self._missed
        super().emit(record)
        if missed and missed == self._missed:
            self._missed = 0
            log.warning("log archive is written again", extra={"missed": missed})

    def shouldRollover(self, record: logging.LogRecord) -> bool:  # noqa: N802 - the handler's name
        """Whether the file is full, or of another day."""
        return self.stream is not None and self._is_due(record.created)

    def doRollover(self) -> None:  # noqa: N802 - the handler's name
        """Give the file its last name. The next line opens another."""
        path = Path(self.baseFilename)
        try:
            self.rotate(str(path), self.rotation_filename(str(rotated(path))))
        except OSError as error:
            self._rotate_again_seconds = time.monotonic() + ROTATE_AGAIN_SECONDS
            log.warning("log archive not rotated", extra=_words(error))
        else:
            self._let_go()
            self._tidy_again_seconds = 0.0

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the handler's name
        """Say once that the file cannot be written."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            return
        self._write_again_seconds = time.monotonic() + WRITE_AGAIN_SECONDS
        if not self._missed:
            log.error("log archive not written", extra=_words(error))
        self._miss(record)

    def close(self) -> None:
        """Let go of the file; one without a line is removed."""
        with self._alone():
            if self.stream is not None and self.stream.size == 0:
                self._remove()
        super().close()
        if self._tidier is not None and self._tidier.is_alive():
            self._tidier.join(LAST_TIDY_SECONDS)

    def _miss(self, record: logging.LogRecord) -> None:
        self._missed += 1
        if self.instead is not None:
            self.instead.handle(record)

    def _open(self) -> Any:
        path, stream = open_file(self._folder, self._begin)
        self.baseFilename = str(path)
        began_seconds = stream.written_seconds if stream.size else time.time()
        self._day = int(began_seconds // DAY_SECONDS)
        return stream

    def _let_go(self) -> None:
        stream, self.stream = self.stream, None
        stream.close()

    def _remove(self) -> None:
        path = Path(self.baseFilename)
        # Of another, who came after somebody took ours away, it is not ours to remove.
        if is_at(path, self.stream.inode):
            with suppress(OSError):
                path.unlink()

    def _is_due(self, now_seconds: float) -> bool:
        is_full = self.stream.size >= self._max_bytes
        is_of_the_past = self.stream.size > 0 and now_seconds // DAY_SECONDS > self._day
        return (is_full or is_of_the_past) and time.monotonic() > self._rotate_again_seconds

    def _tidy(self) -> None:
        if self._tidier is not None and self._tidier.is_alive():
            return
        self._tidy_again_seconds = time.monotonic() + TIDY_SECONDS
        self._tidier = threading.Thread(target=self._tidy_up, name="log-archive", daemon=True)
        # No thread to be had: in an hour there may be.
        with suppress(RuntimeError):
            self._tidier.start()

    def _tidy_up(self) -> None:
        try:
            tidy(self._folder, self._keep)
        except Exception as error:  # noqa: BLE001 - mail goes on, whatever becomes of its log
            log.warning("log archive not tidied", extra=_words(error))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.acquire()
        try:
            yield
        finally:
            self.release()


def _words(error: Exception) -> dict[str, str]:
    path = os.fspath(getattr(error, "filename", None) or "")
    return {"path": path, "detail": getattr(error, "strerror", None) or type(error).__name__}
