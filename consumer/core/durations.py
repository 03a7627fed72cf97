"""Durations as people write them: `30s`, `2m`, `1h`, `5d`."""

import re
from datetime import timedelta
from typing import Final

UNIT_SECONDS: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
DURATION: Final = re.compile(r"(\d{1,9})([smhd])")


def parse_duration(text: str) -> timedelta:
    """Read `30s`, `2m`, `1h` or `5d`.

    Raises ValueError, saying what is accepted, for anything else and for zero.
    """
    found = DURATION.fullmatch(text.strip())
    if found is None or int(found[1]) == 0:
        raise ValueError("a duration is a whole number above 0 and a unit: 30s, 2m, 1h or 5d")
    return timedelta(seconds=int(found[1]) * UNIT_SECONDS[found[2]])


def spell_duration(duration: timedelta) -> str:
    """Write whole seconds in all units they take: 484 h → `20d4h`."""
    rest, parts = int(duration.total_seconds()), []
    for unit, size in UNIT_SECONDS.items():
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def format_duration(duration: timedelta) -> str:
    """Write whole seconds in the largest unit that divides them: 90 s → `90s`, 120 s → `2m`."""
    seconds = int(duration.total_seconds())
    unit = next(unit for unit, size in UNIT_SECONDS.items() if seconds % size == 0)
    return f"{seconds // UNIT_SECONDS[unit]}{unit}"
