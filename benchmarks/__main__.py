"""`make bench`: measures every part in turn and writes the page and the chart.

`--only PART` runs one part and shows its table; `--quick` runs with very few mails. Neither of
these touches the committed page: it goes into the folder .state/benchmarks.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
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
)
from benchmarks.chart import draw
from benchmarks.failed import BenchmarkFailed
from benchmarks.machine import describe
from benchmarks.place import Place
from benchmarks.report import page
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
    "cpu": cpu.measure,
}
COMMITTED: Final = Path(__file__).parent
TRIALS: Final = Path(".state/benchmarks")
PAGE: Final = "results.md"
CHART: Final = "results.png"
NOTES: Final = COMMITTED / "notes.md"
"""What a person says of the goals that are not met; it goes into the page below them."""


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
    parser.add_argument("--only", choices=PARTS, help="run one part")
    parser.add_argument("--quick", action="store_true", help="run with very few mails")
    return parser.parse_args()


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
    minutes = (time.monotonic() - started) / 60
    is_trial = bool(only) or is_quick
    written = TRIALS if is_trial else COMMITTED
    notes = "" if is_trial or not NOTES.exists() else NOTES.read_text()
    (written / PAGE).write_text(page(sections, machine, minutes, notes, is_trial=is_trial))
    if not only:
        with step("drawing the chart"):
            draw(sections, written / CHART)
    print(f"✓ {minutes:.1f} minutes; the page is {written / PAGE}")


def _measured(name: str, place: Place) -> Section:
    print(paint(f"\n{name}", Colour.BOLD))
    section = PARTS[name](place)
    for row in table(section.rows):
        print("  " + "   ".join(row).rstrip())
    return section


if __name__ == "__main__":
    sys.exit(main())
