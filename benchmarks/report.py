"""The page that tells what one run found out. No I/O."""

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import Final

from benchmarks.goals import GOALS
from benchmarks.section import Rows, Section

INTRODUCTION: Final = """\
# What Hopmail does in a second

Written by `make bench`; not edited by hand. Everything was measured in one run, against one broker
and one `smtp-sink`, the contenders taking turns in rounds. Figures are medians of the rounds, with
their range; a ratio is the median of the ratios within each round. Absolute figures move with the
machine, the ratios much less.
"""

PICTURE: Final = "![the main figures](results.png)\n"
SECONDS_BELOW: Final = 120.0
"""Shorter times are told in seconds."""

MINUTE: Final = 60.0


class Extent(Enum):
    """How much one run measured, by what the page says of it above the figures."""

    WHOLE = ""
    PART = "**Only a part was measured; the rest is in benchmarks/results.md.**\n"
    TRIAL = (
        "**This is a trial with very few mails: its figures mean little, and no goal is"
        " judged by them.**\n"
    )


def page(
    sections: Sequence[Section],
    machine: str,
    seconds: float,
    notes: str,
    extent: Extent,
    *,
    has_chart: bool,
) -> str:
    """Return the page for the sections of one run; `notes` are what a person says of it."""
    lines = [
        INTRODUCTION,
        *([extent.value] if extent.value else []),
        f"{machine} It took {duration(seconds)}.\n",
        *([PICTURE] if has_chart else []),
        *goals_of(sections, extent),
        *([notes.strip(), ""] if notes else []),
    ]
    for section in sections:
        lines += [f"## {section.title}\n", f"{section.how.strip()}\n", *table(section.rows), ""]
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Return how long a run took."""
    if seconds < SECONDS_BELOW:
        return f"{seconds:.0f} seconds"
    return f"{seconds / MINUTE:.0f} minutes"


def goals_of(sections: Iterable[Section], extent: Extent) -> Iterator[str]:
    """Return the lines that hold the goals against what was reached; none for a trial."""
    reached = {goal: found for section in sections for goal, found in section.reached.items()}
    goals = [goal for goal in GOALS if extent is Extent.WHOLE or goal in reached]
    if extent is Extent.TRIAL or not goals:
        return
    rows = [("goal", "at least", "aim", "reached", "")]
    for goal in goals:
        found = reached.get(goal)
        rows.append(
            (
                goal.what,
                goal.bound(goal.least),
                goal.bound(goal.aim),
                "not measured" if found is None else goal.figures(found),
                "" if found is None else goal.verdict(found.median),
            )
        )
    yield "## Goals\n"
    yield from table(rows)
    yield ""


def table(rows: Rows) -> Iterator[str]:
    """Return the lines of a table whose first row is its head."""
    head, *rest = rows
    for row in (head, ["---"] * len(head), *rest):
        yield f"| {' | '.join(row)} |"
