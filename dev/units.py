"""Figures as Grafana writes them, for the units that the dashboard uses."""

import math
from typing import Final

SCALES: Final = {
    "s": (
        (86_400, 86_400, "day"),
        (3600, 3600, "hour"),
        (60, 60, "min"),
        (1, 1, "s"),
        (0, 1e-3, "ms"),
    ),
    "bytes": ((2**30, 2**30, "GiB"), (2**20, 2**20, "MiB"), (2**10, 2**10, "KiB"), (0, 1, "B")),
    "short": ((1e6, 1e6, "Mil"), (1e3, 1e3, "K"), (0, 1, "")),
}
"""From which size on, divided by what, and what is written behind it."""

SUFFIX: Final = "suffix:"


def written(value: float, unit: str, decimals: int | None = None) -> str:
    """Return a figure in a unit: three digits, or `decimals` of them behind the point."""
    if unit.startswith(SUFFIX):
        return f"{_digits(value, decimals)}{unit.removeprefix(SUFFIX)}"
    if unit == "percentunit":
        return f"{_digits(value * 100, decimals)} %"
    for least, divisor, name in SCALES.get(unit, ()):
        if abs(value) >= least:
            return f"{_digits(value / divisor, decimals)} {name}".rstrip()
    return _digits(value, decimals)


def _digits(value: float, decimals: int | None) -> str:
    if decimals is None:
        decimals = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
        decimals = min(decimals, 3)
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
