"""The process's log: where its lines go, and from which level."""

import io
import logging
import sys
import threading
from contextlib import AbstractContextManager
from typing import Any, Final, Literal, get_args

from consumer.ops.archive import Archive
from consumer.ops.gathering import Gathering
from consumer.ops.lines import HumanLines, JSONLines

LOUD: Final = ("pika",)
"""Libraries that log the bodies of messages (pika: of returned ones, at WARNING)."""

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
LEVELS: Final = get_args(Level)

log = logging.getLogger(__name__)

_output = Gathering(sys.stdout)


def configure(
    level: Level,
    format: Literal["auto", "json", "human"],  # noqa: A002 - the setting's name
    worker: int | None,
    archive: Archive | None = None,
    *,
    to_stdout: bool = True,
) -> None:
    """Send every log record of the process to standard output, the archive or both, a line each.

    `worker` is its number, None in a process that is no worker. Without an archive that can be
    written, the lines go to standard output whatever `to_stdout` says.
    Uncaught exceptions and Python's warnings are logged as well; exceptions by type and place.
    The field `detail` is for the words of others: addresses in it are masked.
    """
    stream = sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    human = stream.isatty() if format == "auto" else format == "human"
    _output.stream = stream
    handler: logging.Handler = logging.StreamHandler(_output)
    handler.setFormatter((HumanLines if human else JSONLines)(worker))
    handlers = [handler]
    if archive is not None:
        archive.setFormatter((HumanLines if format == "human" else JSONLines)(worker))
        archive.instead = None if to_stdout else handler
        handlers = [handler, archive] if to_stdout else [archive]
    root = logging.getLogger()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    logging.captureWarnings(capture=True)
    # A record that cannot be written would else be printed with all its arguments.
    logging.raiseExceptions = False
    # Nobody reads them, and finding them out is half the price of a line
    # (https://docs.python.org/3/howto/logging.html#optimization).
    logging._srcfile = None  # noqa: SLF001 - the documented way
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    _log_uncaught()


def gathered() -> AbstractContextManager[None]:
    """Have what this thread logs in a block written to standard output at once, at its end."""
    return _output.gathered()


def change_level(level: Level) -> None:
    """Log from `level` upward, from now on; of a change there is a line whatever the level is."""
    root = logging.getLogger()
    before = logging.getLevelName(root.level)
    if before != level:
        root.setLevel(level)
        told = logging.INFO, __file__, 0, "log level changed", (), None
        log.handle(log.makeRecord(log.name, *told, extra={"from": before, "to": level}))


def _log_uncaught() -> None:
    # Python's own hooks print an exception's text.
    def in_main(kind: type[BaseException], error: BaseException, _trace: object) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            log.error("crashed", exc_info=error)

    def in_thread(args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread else None
        log.error("thread crashed", exc_info=args.exc_value, extra={"of": name})

    def unraisable(args: Any) -> None:
        log.error("exception ignored", exc_info=args.exc_value)

    sys.excepthook, threading.excepthook, sys.unraisablehook = in_main, in_thread, unraisable
