"""Figures out of samples: rates, percentiles, spreads and ratios. No I/O."""

import math
import statistics
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

from benchmarks.failed import BenchmarkFailed

Timeline = Sequence[tuple[float, int]]
"""How many mails a sink had taken at which moment of the monotonic clock, in order."""

WARM_UP: Final = 0.1
"""The share of a drain that is not timed: in it processes start and connections are made."""


class TooShort(BenchmarkFailed):
    """The mails came too fast to be timed; more of them are needed."""


@dataclass(frozen=True)
class Spread:
    """What the rounds of one measurement gave."""

    median: float
    low: float
    high: float


def spread(samples: Sequence[float]) -> Spread:
    """Return the median and the range of at least one sample."""
    return Spread(statistics.median(samples), min(samples), max(samples))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Return the spread of the ratios, each of two samples of the same round."""
    return spread([our / their for our, their in zip(ours, theirs, strict=True)])


def rate(timeline: Timeline, before: int, count: int) -> float:
    """Return how many mails came in a second, from `WARM_UP` of `count` to the last of them.

    `before` is how many the sink had taken already. Raises TooShort.
    """
    start_seconds, at_start = reached(timeline, before + math.ceil(WARM_UP * count))
    end_seconds, at_end = reached(timeline, before + count)
    if end_seconds <= start_seconds:
        raise TooShort(f"all of {count} mails came between two looks at the sink")
    return (at_end - at_start) / (end_seconds - start_seconds)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` (0 to 1) of all values do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def reached(timeline: Timeline, count: int) -> tuple[float, int]:
    """Return the moment at which the sink had taken so many, and how many those were."""
    return timeline[bisect_left(timeline, count, key=itemgetter(1))]
