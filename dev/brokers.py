"""`make test-brokers`: the tests that depend on the broker, on each RabbitMQ version in turn."""

import os
import re
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from dev.debian import FOLDER, version_of, with_rabbitmq
from dev.installation import ROOT, BrokerFailed
from dev.network import within
from dev.processes import INTERRUPTED, leave_on_signals, run
from dev.terminal import Colour, paint

RELEASES: Final = ("trixie", "forky")
"""Debian's, for RabbitMQ 4.0 and 4.3; this machine's own has 3.10."""

PLACES: Final = (
    *(f"tests/{name}" for name in ("amqp", "publisher", "integration", "faults", "cluster")),
    *(f"tests/cli/test_deadletters{part}.py" for part in ("", "_carried", "_edit", "_seen")),
    "tests/cli/test_migrate.py",
    "tests/deploy/test_definitions.py",
)
"""Of the tests that depend on the broker."""

LEFT_OUT: Final = "tests/integration/test_volume.py"
PAGE: Final = Path(__file__).parents[1] / "docs" / "broker-versions.md"
COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
MARKED: Final = "not faults or fault_smoke or cluster or brokers"


@dataclass(frozen=True)
class Verdict:
    """What the tests said of one version."""

    version: str
    minutes: float
    exit_code: int
    figures: str

    def __str__(self) -> str:
        mark, colour = ("✗", Colour.RED) if self.exit_code else ("✓", Colour.GREEN)
        text = f"{mark} RabbitMQ {self.version:<8} {self.figures} in {self.minutes:.1f} minutes"
        return paint(text, colour)


def _try(root: Path, arguments: list[str]) -> Verdict:
    version = version_of(root)
    report = FOLDER / f"{version}.xml"
    report.unlink(missing_ok=True)
    print(paint(f"▸ RabbitMQ {version}", Colour.BOLD), flush=True)
    started = time.monotonic()
    pytest = [sys.executable, "-m", "pytest", f"--junit-xml={report}", *arguments]
    command = within(sys.executable, "-m", "dev.broker", "exec", "--", *pytest)
    code = run(command, os.environ | {ROOT: str(root)})
    return Verdict(version, (time.monotonic() - started) / 60, code, _figures(report))


def _figures(report: Path) -> str:
    if not report.exists():
        return "no test ran"
    (suite,) = ET.parse(report).getroot().iter("testsuite")  # noqa: S314 - pytest's own
    failed = int(suite.attrib["failures"]) + int(suite.attrib["errors"])
    return f"{int(suite.attrib['tests']) - failed} passed, {failed} failed"


def _arguments(chosen: list[str]) -> list[str]:
    if chosen:
        return chosen
    return [*PLACES, f"--ignore={LEFT_OUT}", "-m", MARKED]


def _page(verdicts: list[Verdict]) -> str:
    return "\n".join(
        (
            "# What the tests said with each RabbitMQ\n",
            (
                f"Written by `make test-brokers`, {datetime.now(UTC):%Y-%m-%d}: the tests of"
                f" {', '.join(f'`{place}`' for place in PLACES)} that depend on the broker,"
                " the fault cases that `make test` runs, and those of the cluster.\n"
            ),
            *(f"- {COLOURS.sub('', str(verdict))}" for verdict in verdicts),
            "",
        )
    )


def main() -> None:
    """Test every version; arguments are pytest's, instead of the usual tests."""
    leave_on_signals()
    try:
        roots = [Path("/"), *map(with_rabbitmq, RELEASES)]
        verdicts = [_try(root, _arguments(sys.argv[1:])) for root in roots]
    except BrokerFailed as error:
        sys.exit(f"✗ {error}")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    print("\n".join(map(str, verdicts)))
    if not sys.argv[1:]:
        PAGE.write_text(_page(verdicts))
    sys.exit(any(verdict.exit_code for verdict in verdicts))


if __name__ == "__main__":
    main()
