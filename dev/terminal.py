"""What a person sees: steps with their durations, tables, and colours where a terminal is."""

import os
import sys
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum


class Colour(StrEnum):
    """An SGR parameter (ECMA-48 §8.3.117)."""

    GREEN = "32"
    RED = "31"
    YELLOW = "33"
    FAINT = "2"
    BOLD = "1"


def paint(text: str, colour: Colour) -> str:
    """Colour a text where that shows (https://no-color.org)."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{colour}m{text}\x1b[0m"


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is being done, and how long it took."""
    started = time.monotonic()
    print(f"▸ {what} … ", end="", flush=True)
    try:
        yield
    except BaseException:
        print()
        raise
    print(f"{time.monotonic() - started:.1f} s", flush=True)


def duration(seconds: float) -> str:
    """Return a time as people say it."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def width(text: str) -> int:
    """Return how many columns a text takes (UAX #11: wide characters take two)."""
    return sum(
        0
        if unicodedata.combining(character)
        else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )


def pad(text: str, columns: int) -> str:
    """Fill a text up with spaces."""
    return text + " " * (columns - width(text))


def table(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the rows with each column's cells padded to the widest."""
    columns = [max(map(width, column)) for column in zip(*rows, strict=True)]
    return [[pad(*cell) for cell in zip(row, columns, strict=True)] for row in rows]
