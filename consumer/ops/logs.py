"""Log lines: JSON, or for a person's eyes; without the values an exception may carry."""

import io
import json
import logging
import sys
import threading
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from types import TracebackType
from typing import Any, Final, Literal, get_args

from consumer.ops import concerning
from consumer.ops.archive import Archive
from consumer.ops.mask import mask_addresses

Fields = MutableMapping[str, Any]

LOUD: Final = ("pika",)
"""Libraries that log the bodies of messages (pika: of returned ones, at WARNING)."""

DEEPEST_TRACE: Final = 30

OF_EVERY_RECORD: Final = len(logging.makeLogRecord({}).__dict__)
"""Attributes that come first; what was given as `extra` comes after them."""

OTHERS_NOTES: Final = frozenset({"message", "asctime", "_human", "_json"})
"""Attributes that handlers leave on a record, ours as well."""

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
LEVELS: Final = get_args(Level)

log = logging.getLogger(__name__)


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
    handler: logging.Handler = logging.StreamHandler(stream)
    handler.setFormatter(_Lines(_human if human else _json, worker))
    handlers = [handler]
    if archive is not None:
        archive.setFormatter(_Lines(_human if format == "human" else _json, worker))
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


def change_level(level: Level) -> None:
    """Log from `level` upward, from now on; of a change there is a line whatever the level is."""
    root = logging.getLogger()
    before = logging.getLevelName(root.level)
    if before != level:
        root.setLevel(level)
        told = logging.INFO, __file__, 0, "log level changed", (), None
        log.handle(log.makeRecord(log.name, *told, extra={"from": before, "to": level}))


class _Lines(logging.Formatter):
    """Writes a record on one line: what every line has, then what was given as `extra`."""

    def __init__(self, render: Callable[[Fields], str], worker: int | None) -> None:
        super().__init__()
        self._render = render
        self._whose = {} if worker is None else {"worker": worker}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; the record keeps it for the next handler."""
        note = self._render.__name__
        line: str | None = record.__dict__.get(note)
        if line is None:
            line = record.__dict__[note] = self._line(record)
        return line

    def _line(self, record: logging.LogRecord) -> str:
        second, milliseconds = divmod(int(record.created * 1000), 1000)
        fields = {
            "timestamp": f"{_spelled(second)}.{milliseconds:03}Z",
            "level": record.levelname,
            "event": record.getMessage(),
            "logger": record.name,
            **self._whose,
        }
        given = islice(record.__dict__.items(), OF_EVERY_RECORD, None)
        fields.update(item for item in given if item[0] not in OTHERS_NOTES)
        if "message_id" not in fields:
            fields |= concerning.ids()
        if isinstance(detail := fields.get("detail"), str):
            fields["detail"] = mask_addresses(detail)
        if isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
            fields |= _describe(record.exc_info[1])
        return self._render(fields)


@lru_cache(maxsize=2)
def _spelled(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _describe(error: BaseException) -> Fields:
    """Say what was raised and where; never its text, which may hold a body or an address."""
    return {"error": _names(error), "trace": _places(error.__traceback__)}


def _names(error: BaseException) -> str:
    chain = [type(error).__name__]
    while (earlier := error.__cause__ or error.__context__) is not None and len(chain) < 5:  # noqa: PLR2004 - enough to see the cause
        chain.append(type(earlier).__name__)
        error = earlier
    return " from ".join(chain)


def _places(trace: TracebackType | None) -> list[str]:
    places: list[str] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(
            f"{trace.tb_frame.f_globals.get('__name__')}.{code.co_qualname}:{trace.tb_lineno}"
        )
        trace = trace.tb_next
    return places[-DEEPEST_TRACE:]


def _json(fields: Fields) -> str:
    # ASCII: neither controls nor direction marks reach a terminal that shows the file.
    return ENCODER.encode(fields)


def _human(fields: Fields) -> str:
    moment, level, event = (fields.pop(name) for name in ("timestamp", "level", "event"))
    rest = " ".join(f"{_plain(name)}={_plain(value)}" for name, value in fields.items())
    return f"{moment} {level:<7} {_plain(event):<10} {rest}"


def _plain(value: object) -> str:
    """Write a value on one line, so that nobody who sends one can forge a line or a colour."""
    text = value if isinstance(value, str) else json.dumps(value, default=_type_name)
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    return (
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
    )


def _type_name(value: object) -> str:
    # Its repr may hold a body.
    return type(value).__name__


ENCODER: Final = json.JSONEncoder(default=_type_name)


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
