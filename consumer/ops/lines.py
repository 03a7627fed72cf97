"""How a log record becomes a line: JSON, or for a person's eyes; never what an exception says."""

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from types import TracebackType
from typing import Any, Final

from consumer.ops import concerning
from consumer.ops.mask import mask_addresses

Fields = MutableMapping[str, Any]

MEMBERS: Final = "members"
"""The attribute of a record that brings what it tells in JSON: an object's members, without their
braces. It tells nothing else."""

OF_EVERY_RECORD: Final = len(logging.makeLogRecord({}).__dict__)
"""Attributes that come first; what was given as `extra` comes after them."""

OTHERS_NOTES: Final = frozenset({"message", "asctime", "_human", "_json"})
"""Attributes that handlers leave on a record, ours as well."""

DEEPEST_TRACE: Final = 30


class Lines(logging.Formatter, ABC):
    """Writes a record on one line: what every line has, then what was given as `extra`.

    `worker` is the process's number, None in one that is no worker.
    """

    note = ""
    """The attribute under which a record keeps its line for the next handler."""

    def __init__(self, worker: int | None) -> None:
        super().__init__()
        self._whose = {} if worker is None else {"worker": worker}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: str | None = record.__dict__.get(self.note)
        if line is None:
            line = record.__dict__[self.note] = self._line(record)
        return line

    @abstractmethod
    def _line(self, record: logging.LogRecord) -> str:
        """Return the line, made anew."""

    def _fields(self, record: logging.LogRecord) -> Fields:
        fields = {"logger": record.name, **self._whose}
        fields.update(islice(record.__dict__.items(), OF_EVERY_RECORD, None))
        if not OTHERS_NOTES.isdisjoint(fields):
            for note in OTHERS_NOTES:
                fields.pop(note, None)
        if (members := fields.pop(MEMBERS, None)) is not None:
            return {**fields, **json.loads(f"{{{members}}}")}
        if "message_id" not in fields:
            fields |= concerning.ids()
        if isinstance(detail := fields.get("detail"), str):
            fields["detail"] = mask_addresses(detail)
        if isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
            fields |= _describe(record.exc_info[1])
        return fields


class JSONLines(Lines):
    """One JSON object a line.

    ASCII: neither controls nor direction marks reach a terminal that shows the file.
    """

    note = "_json"

    def _line(self, record: logging.LogRecord) -> str:
        members = record.__dict__.get(MEMBERS)
        if members is None:
            members = encoded(self._fields(record))
        else:
            members = f"{_encoded_whose(record.name, self._whose.get('worker'))}, {members}"
        told = _encoded_level(record.levelname, record.getMessage())
        return f'{{"timestamp": "{_moment(record)}", {told}, {members}}}'


class HumanLines(Lines):
    """Time, level and event, then each field as name=value."""

    note = "_human"

    def _line(self, record: logging.LogRecord) -> str:
        event = plain(record.getMessage())
        fields = self._fields(record).items()
        rest = " ".join(f"{plain(name)}={plain(value)}" for name, value in fields)
        return f"{_moment(record)} {record.levelname:<7} {event:<10} {rest}"


def encoded(fields: Fields) -> str:
    """Return the members of a JSON object, without its braces."""
    return ENCODER.encode(fields)[1:-1]


def _type_name(value: object) -> str:
    # Its repr may hold a body.
    return type(value).__name__


ENCODER: Final = json.JSONEncoder(default=_type_name)


@lru_cache
def _encoded_level(level: str, event: str) -> str:
    return encoded({"level": level, "event": event})


@lru_cache
def _encoded_whose(logger: str, worker: int | None) -> str:
    return encoded({"logger": logger} | ({} if worker is None else {"worker": worker}))


def _moment(record: logging.LogRecord) -> str:
    second, milliseconds = divmod(int(record.created * 1000), 1000)
    return f"{_spelled(second)}.{milliseconds:03}Z"


@lru_cache(maxsize=2)
def _spelled(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def plain(value: object) -> str:
    """Write a value on one line, so that nobody who sends one can forge a line or a colour."""
    text = value if isinstance(value, str) else json.dumps(value, default=_type_name)
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    return (
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
    )


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
