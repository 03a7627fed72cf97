"""`make bench`: measures every part in turn and writes the page and the chart.

`--only PART` runs one part; `--quick` runs with very few mails, to see that all of it works.
Neither of these touches the committed page and chart: they write into .state/benchmarks.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks import (
    cpu,
    drain,
    growth,
    lanes,
    latency,
    publish,
    sizes,
    slow_relay,
    start,
    watched,
)
from benchmarks.chart import draw
from benchmarks.failed import BenchmarkFailed
from benchmarks.machine import describe
from benchmarks.place import Place
from benchmarks.report import Extent, duration, page
from benchmarks.section import Section
from benchmarks.sink import smtp_sink
from dev.consumers import ConsumersFailed
from dev.processes import INTERRUPTED, leave_on_signals
from dev.terminal import Colour, paint, step, table
from tests.support.broker import Broker

PARTS: Final[Mapping[str, Callable[[Place], Section]]] = {
    "drain": drain.measure,
    "publish": publish.measure,
    "latency": latency.measure,
    "slow-relay": slow_relay.measure,
    "lanes": lanes.measure,
    "sizes": sizes.measure,
    "growth": growth.measure,
    "start": start.measure,
    "watched": watched.measure,
    "cpu": cpu.measure,
}
COMMITTED: Final = Path(__file__).parent
TRIALS: Final = Path(".state/benchmarks")
PAGE: Final = "results.md"
CHART: Final = "results.png"
NOTES: Final = COMMITTED / "notes.md"
"""What a person says of the goals that are not met; it goes into the page below them."""

WRONG_USAGE: Final = 2
"""The exit code that argparse has for it."""


def main() -> int:
    """Run what the arguments ask for and return the exit code."""
    arguments = _arguments()
    leave_on_signals()
    try:
        _run(arguments.only, is_quick=arguments.quick)
    except (BenchmarkFailed, ConsumersFailed) as failure:
        print(paint(f"✗ {failure}", Colour.RED))
        return 1
    except KeyboardInterrupt:
        print(paint("✗ interrupted; nothing keeps running", Colour.RED))
        return INTERRUPTED
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", metavar="PART", help=f"run one part of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="run with very few mails")
    arguments = parser.parse_args()
    if arguments.only not in {None, *PARTS}:
        known = ", ".join(PARTS)
        parser.exit(WRONG_USAGE, f"✗ there is no part {arguments.only!r}; the parts are {known}\n")
    return arguments


def _run(only: str | None, *, is_quick: bool) -> None:
    started = time.monotonic()
    names = [only] if only else list(PARTS)
    folder = TRIALS / "work"
    folder.mkdir(parents=True, exist_ok=True)
    broker = Broker()
    machine = describe(broker)
    print(machine)
    with smtp_sink() as sink:
        place = Place(broker, sink, folder.resolve(), is_quick)
        sections = [_measured(name, place) for name in names]
    extent = Extent.TRIAL if is_quick else Extent.PART if only else Extent.WHOLE
    seconds = time.monotonic() - started
    written = _write(sections, machine, seconds, extent, has_chart=not only)
    print(f"✓ {duration(seconds)}; written: {', '.join(map(str, written))}")


def _write(
    sections: Sequence[Section], machine: str, seconds: float, extent: Extent, *, has_chart: bool
) -> list[Path]:
    """Write the page, and the chart if there is to be one; return where they are."""
    is_whole = extent is Extent.WHOLE
    folder = COMMITTED if is_whole else TRIALS
    notes = NOTES.read_text() if is_whole and NOTES.exists() else ""
    made = page(sections, machine, seconds, notes, extent, has_chart=has_chart)
    (folder / PAGE).write_text(made)
    if not has_chart:
        return [folder / PAGE]
    with step("drawing the chart"):
        draw(sections, folder / CHART)
    return [folder / PAGE, folder / CHART]


def _measured(name: str, place: Place) -> Section:
    print(paint(f"\n{name}", Colour.BOLD))
    section = PARTS[name](place)
    for row in table(section.rows):
        print("  " + "   ".join(row).rstrip())
    return section


if __name__ == "__main__":
    sys.exit(main())
