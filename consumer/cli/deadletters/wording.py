"""How a terminal is told of a dead letter's age, and of what a stranger wrote."""

from datetime import datetime, timedelta
from typing import Final

from consumer.core.durations import spell_duration

LONGEST_SHOWN: Final = 60


def age(moment: datetime | None, now: datetime) -> str:
    """Return how long ago that is, `?` where nobody knows."""
    if moment is None:
        return "?"
    since = now - moment
    unit = timedelta(minutes=1) if since >= timedelta(hours=1) else timedelta(seconds=1)
    return spell_duration(since // unit * unit)


def plain(text: str, most: int | None = LONGEST_SHOWN) -> str:
    """Return what a stranger wrote without what moves a terminal's cursor."""
    text = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
    return text if most is None or len(text) <= most else f"{text[: most - 1]}…"


def plain_lines(text: str) -> str:
    """Return the same of a text whose lines and tabs stay."""
    lines = text.expandtabs(4).split("\n")
    return "\n".join(plain(line.removesuffix("\r"), None) for line in lines)
