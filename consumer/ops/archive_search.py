"""Finds a message's lines in the log's archive, of which there may be gigabytes."""

import gzip
import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from consumer.core.found import Line
from consumer.ops.archive_files import OURS

BLOCK_BYTES: Final = 1024 * 1024
LONGEST_LINE_BYTES: Final = 4 * BLOCK_BYTES
"""What has no end within it is no line of ours."""

MOST_LINES: Final = 1000
"""Of one message that are kept, the latest: an app may give all its mails one id."""

WHOSE: Final = re.compile(r"hopmail-(.+-(?:\d+|run))(?:\+\d)?(?:\.\d{8}T\d{9}Z)?\.log(?:\.gz)?")

HUMAN: Final = re.compile(r"(\S+) (?:DEBUG|INFO|WARNING|ERROR|CRITICAL) +(.*?) +(logger=\S+ .*)")
FIELD: Final = re.compile(r"(?:^| )([a-z_]+)=")
"""A relay's words may look like one: so the later one counts, which we wrote after them."""


@dataclass
class Search:
    """What was found. `troubles` are the files that could not be read, and why."""

    lines: list[Line] = field(default_factory=list)
    left_out: int = 0
    """Earlier lines that there were as well."""
    troubles: list[str] = field(default_factory=list)
    files: int = 0
    _seen: set[bytes] = field(default_factory=set)

    def add(self, text: bytes, line: Line) -> None:
        """Take a line in, once: a file may be met under two names while it is compressed."""
        if text in self._seen:
            return
        self._seen.add(text)
        self.lines.append(line)
        if len(self.lines) > 2 * MOST_LINES:
            self.finish()

    def finish(self) -> None:
        """Sort the lines by their time, and keep the latest."""
        self.lines.sort(key=lambda line: line.at)
        self.left_out += len(self.lines[:-MOST_LINES])
        self.lines = self.lines[-MOST_LINES:]
        if self.left_out:
            self._seen.clear()


def search(folder: Path, message_id: str) -> Search:
    """Return the lines about a message in the archive of all processes. Raises OSError."""
    found = Search()
    # As it stands in JSON, and as it is: for a person's eyes.
    needles = {json.dumps(message_id)[1:-1].encode(), message_id.encode()}
    read: set[str] = set()
    # What is given its last name, or compressed, meanwhile is there under another one.
    while left := sorted(set(_names(folder)) - read):
        for name in left:
            read.add(name)
            with suppress(FileNotFoundError):
                _read(folder / name, needles, message_id, found)
    found.finish()
    return found


def _names(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if OURS.fullmatch(entry.name) and not entry.name.endswith(".tmp"):
                yield entry.name


def _read(path: Path, needles: set[bytes], message_id: str, found: Search) -> None:
    whose = WHOSE.fullmatch(path.name)
    worker = whose[1] if whose else ""
    try:
        with path.open("rb") as plain:
            is_packed = path.suffix == ".gz"
            file = cast("BinaryIO", gzip.GzipFile(fileobj=plain)) if is_packed else plain
            for text in _lines_with(file, needles):
                line = _line(text, worker)
                if line is not None and line.fields.get("message_id") == message_id:
                    found.add(text, line)
        found.files += 1
    except FileNotFoundError:
        raise
    except (OSError, EOFError, zlib.error) as error:
        detail = getattr(error, "strerror", None) or "it is damaged"
        found.troubles.append(f"{path}: {detail}")


def _lines_with(file: BinaryIO, needles: set[bytes]) -> Iterator[bytes]:
    """Yield the whole lines that hold one of the needles, a block of the file in memory."""
    rest = b""
    while block := file.read(BLOCK_BYTES):
        block = rest + block
        end = block.rfind(b"\n") + 1
        yield from _in_block(block, end, needles)
        rest = block[end:] if len(block) - end < LONGEST_LINE_BYTES else b""


def _in_block(block: bytes, end: int, needles: set[bytes]) -> Iterator[bytes]:
    for needle in needles:
        at = block.find(needle, 0, end)
        while at >= 0:
            begin, stop = block.rfind(b"\n", 0, at) + 1, block.find(b"\n", at)
            yield block[begin:stop]
            at = block.find(needle, stop, end)


def _line(text: bytes, worker: str) -> Line | None:
    return _json_line(text, worker) if text.startswith(b"{") else _human_line(text, worker)


def _json_line(text: bytes, worker: str) -> Line | None:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    return _at(fields.pop("timestamp", None), fields.pop("event", None), worker, fields)


def _human_line(text: bytes, worker: str) -> Line | None:
    parts = HUMAN.fullmatch(text.decode(errors="replace"))
    if parts is None:
        return None
    rest = parts[3]
    found = list(FIELD.finditer(rest))
    ends = [each.start() for each in found[1:]] + [len(rest)]
    fields: dict[str, Any] = {}
    for each, end in zip(found, ends, strict=True):
        value: Any = rest[each.end() : end]
        if each[1] != "message_id":
            with suppress(ValueError, RecursionError):
                value = json.loads(value)
            fields[each[1]] = value
        else:
            # It comes before all that others can word.
            fields.setdefault("message_id", value)
    return _at(parts[1], parts[2], worker, fields)


def _at(moment: object, event: object, worker: str, fields: Mapping[str, Any]) -> Line | None:
    if not isinstance(moment, str) or not isinstance(event, str):
        return None
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        return None
    return Line(at if at.tzinfo else at.replace(tzinfo=UTC), event, worker, fields)
