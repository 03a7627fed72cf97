"""The results of the fault suite: a line of JSON per case, and the page made of them.

`python -m tests.faults.results` writes docs/fault-results.md.
"""

import json
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
LINES: Final = ROOT / ".state" / "fault-results.jsonl"
PAGE: Final = ROOT / "docs" / "fault-results.md"
NOTHING: Final = "-"
SEED: Final = 20_251_124
"""Of every schedule of faults."""

CASES: Final = range(1, 30)

COLUMNS: Final = (
    *("attempted", "confirmed", "unknown", "failed", "accepted", "dead"),
    *("lost", "duplicated", "in_doubt", "recovered"),
)

SOAK: Final = "## Soak"
"""The heading of the section that `tests.faults.soak` writes; this module keeps it as it is."""

NOT_RUN: Final[dict[int, str]] = {}
"""Why a case has no result, by its number."""

INTRODUCTION: Final = """\
# What the faults did

Written by `make faults`, the soak by `make soak`; not edited by hand. Everything is counted per
message and recipient, as Jepsen counts: *attempted* were handed to the publisher, *confirmed* have
a `Receipt`, *unknown* ended in `OutcomeUnknown` or with their process, *failed* surely were not
published; *accepted* were taken by the SMTP server, *dead* lie in the dead-letter queue, of which
those held in doubt may be accepted too; *lost* are confirmed and neither, *duplicated* are copies
too many, *in doubt* the transactions the consumers report to have ended between final dot and
answer, *recovered* the unknown ones that were found after all. *times* is how often the fault was
played, *back after* the longest time from a fault to the next mail taken, the broker's own start
included. `-`: not counted there. What ends in *in short* runs with `make test` too.

The promise holds where *lost* is 0 and no message has more copies too many than doubts reported.
Of a doubt comes no copy where the relay had not taken the mail, or where it was held.
"""

ELSEWHERE: Final = """\
## What is shown elsewhere

- The same `message_id` from an app, `conflict`, a dead letter sent again, `untrusted_headers`:
  `tests/integration/` (`test_ledger.py`, `test_fates.py`, `test_hostile.py`).
- `hopmail deadletters resolve`: `tests/cli/test_deadletters.py`.
- Failover between relays, limits and rates: `tests/integration/test_relays.py`, `tests/smtp/`.
- Consumers that share one Redis: cases 27 and 30 to 32, `tests/integration/test_redis_ledger.py`.
- RabbitMQ 4.0 and 4.3: `broker-versions.md` (`make test-brokers`).

Not tried at all: the loss of a host's power, and a Redis that fails over to its replica.
"""

CONTROLS: Final = """\
## Negative controls

Something is deliberately wrong in each: the harness must see it.
"""


@dataclass(frozen=True)
class Case:
    """A case of the list: its number, the fault, and the test that plays it.

    `is_control`: something is deliberately wrong, and the harness must see it.
    """

    number: int
    fault: str
    test: str
    is_control: bool = False

    def failed(self) -> None:
        """Add to the file that its test failed."""
        _add({"case": asdict(self), "has_failed": True})


@dataclass(frozen=True)
class Result:
    """What came of one case; `broken` are the sentences of the invariants that did not hold."""

    case: Case
    workers: int
    faults: int
    figures: dict[str, int]
    broken: list[str]
    recovery_seconds: float | None
    broker: str
    note: str = ""

    def save(self) -> None:
        """Add it to the file."""
        _add(asdict(self))


def _add(line: dict[str, Any]) -> None:
    LINES.parent.mkdir(exist_ok=True)
    with LINES.open("a") as file:
        file.write(json.dumps(line) + "\n")


def page(lines: list[dict[str, Any]]) -> str:
    """Return the page for the lines of one run."""
    failed = {line["case"]["test"] for line in lines if "has_failed" in line}
    told = {line["case"]["test"] for line in lines if "figures" in line}
    shown = [line for line in lines if "figures" in line or line["case"]["test"] not in told]
    shown.sort(key=lambda line: (line["case"]["number"], line["case"]["fault"]))
    cases = [line for line in shown if not line["case"]["is_control"]]
    controls = [line for line in shown if line["case"]["is_control"]]
    return "\n".join(
        (
            INTRODUCTION,
            _machine(shown),
            "",
            *_table(cases, failed),
            "",
            *_missing({line["case"]["number"] for line in cases}),
            CONTROLS,
            *_table(controls, failed),
            "",
            ELSEWHERE,
        )
    )


def _machine(lines: Iterable[dict[str, Any]]) -> str:
    brokers = sorted({line["broker"] for line in lines if "broker" in line})
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"On {datetime.now(UTC):%Y-%m-%d}{commit()}: {_processor()},"
        f" {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB;"
        f" Linux {platform.release()}, Python {platform.python_version()},"
        f" pika {version('pika')}, RabbitMQ {', '.join(brokers)}."
        f" Random moments are drawn with the seed {SEED}."
    )


def commit() -> str:
    """Name the code that was tried, where git can."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f", commit {told.strip()}"


def _processor() -> str:
    names = (line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines())
    return next((name for name in names if "CPU" in name or "Processor" in name), "unnamed CPU")


def _table(lines: Iterable[dict[str, Any]], failed: set[str]) -> list[str]:
    titles = (
        *("case", "fault", "consumers", "times"),
        *(name.replace("_", " ") for name in COLUMNS),
        *("back after", "result"),
    )
    rows = [_row(line, failed) for line in lines]
    return [_cells(titles), _cells(["---"] * len(titles)), *map(_cells, rows)]


def _row(line: dict[str, Any], failed: set[str]) -> list[str]:
    case = line["case"]
    figures = line.get("figures", {})
    seconds = line.get("recovery_seconds")
    return [
        str(case["number"]),
        case["fault"] + (f" ({line['note']})" if line.get("note") else ""),
        *(str(line.get(name, NOTHING)) for name in ("workers", "faults")),
        *(str(figures.get(name, NOTHING)) for name in COLUMNS),
        NOTHING if seconds is None else f"{seconds:.1f} s",
        _verdict(line, failed),
    ]


def _verdict(line: dict[str, Any], failed: set[str]) -> str:
    seen = "; ".join(sentence.partition(":")[0] for sentence in line.get("broken", ()))
    if line["case"]["test"] in failed:
        return "**failed**"
    if line["case"]["is_control"]:
        return f"seen: {seen}"
    return f"**{seen}**" if seen else "held"


def _cells(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _missing(numbers: set[int]) -> list[str]:
    return [
        f"Case {number} has no result: {NOT_RUN.get(number, 'it was not run.')}\n"
        for number in CASES
        if number not in numbers
    ]


def with_soak(text: str, section: str) -> str:
    """Return a page with this section, in place of the one it had."""
    return f"{text.partition(SOAK)[0].rstrip()}\n" + (f"\n{section.strip()}\n" if section else "")


def soak_of(text: str) -> str:
    """Return a page's section on the soak; empty where it has none."""
    return "".join(text.partition(SOAK)[1:])


def main() -> None:
    """Write the page; what it tells of the soak stays."""
    lines = [json.loads(line) for line in LINES.read_text().splitlines()]
    before = PAGE.read_text() if PAGE.exists() else ""
    PAGE.write_text(with_soak(page(lines), soak_of(before)))


if __name__ == "__main__":
    main()
