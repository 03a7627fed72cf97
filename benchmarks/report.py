"""The page that tells what one run found out. No I/O."""

from collections.abc import Iterable, Iterator, Sequence
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


TRIAL: Final = "**This was a trial, with few mails or few parts: its figures mean nothing.**\n"


def page(
    sections: Sequence[Section], machine: str, minutes: float, notes: str, *, is_trial: bool
) -> str:
    """Return the page for the sections of one run; `notes` are what a person says of it."""
    lines = [
        INTRODUCTION,
        *([TRIAL] if is_trial else []),
        f"{machine} It took {minutes:.0f} minutes.\n",
        "![the main figures](results.png)\n",
        *goals_of(sections),
        *([notes.strip(), ""] if notes else []),
    ]
    for section in sections:
        lines += [f"## {section.title}\n", f"{section.how.strip()}\n", *table(section.rows), ""]
    return "\n".join(lines)


def goals_of(sections: Iterable[Section]) -> Iterator[str]:
    """Return the lines that hold the goals against what was reached."""
    reached = {goal: found for section in sections for goal, found in section.reached.items()}
    rows = [("goal", "at least", "aim", "reached", "")]
    for goal in GOALS:
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
