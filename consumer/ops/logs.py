"""Log lines: JSON, or for a person's eyes; without the values an exception may carry."""

import io
import json
import logging
import sys
import threading
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Literal

from structlog.stdlib import ExtraAdder, ProcessorFormatter

from consumer.ops.mask import mask_addresses

Fields = MutableMapping[str, Any]

LOUD: Final = ("pika",)
"""Libraries that log the bodies of messages (pika: of returned ones, at WARNING)."""

DEEPEST_TRACE: Final = 30

log = logging.getLogger(__name__)


def configure(
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"],
    format: Literal["auto", "json", "human"],  # noqa: A002 - the setting's name
    worker: int,
) -> None:
    """Send every log record of the process to standard output, a line each.

    Uncaught exceptions and Python's warnings are logged as well; exceptions by type and place.
    The field `detail` is for the words of others: addresses in it are masked.
    """
    stream = sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    human = stream.isatty() if format == "auto" else format == "human"
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(_human if human else _json, worker))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    logging.captureWarnings(capture=True)
    # A record that cannot be written would else be printed with all its arguments.
    logging.raiseExceptions = False
    _log_uncaught()


def _formatter(render: Callable[[Fields], str], worker: int) -> logging.Formatter:
    def stamp(_logger: object, _name: str, fields: Fields) -> Fields:
        record: logging.LogRecord = fields.pop("_record")
        fields.pop("_from_structlog")
        moment = datetime.fromtimestamp(record.created, UTC)
        head = {
            "timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "event": fields.pop("event"),
            "logger": record.name,
            "worker": worker,
        }
        if isinstance(detail := fields.get("detail"), str):
            fields["detail"] = mask_addresses(detail)
        return {**head, **_without_exception(fields)}

    def rendered(_logger: object, _name: str, fields: Fields) -> str:
        return render(fields)

    return ProcessorFormatter(
        foreign_pre_chain=[ExtraAdder()],
        processors=[stamp, rendered],
    )


def _without_exception(fields: Fields) -> Fields:
    found = fields.pop("exc_info", None)
    fields.pop("stack_info", None)
    error = found[1] if isinstance(found, tuple) else None
    return fields if error is None else {**fields, **_describe(error)}


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
    return json.dumps(fields, default=_type_name)


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
