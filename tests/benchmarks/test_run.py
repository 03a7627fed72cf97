"""`python -m benchmarks` from its arguments to its page, beside the real broker."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.broker import Broker

ROOT = Path(__file__).parents[2]
PAGE = ROOT / ".state" / "benchmarks" / "results.md"


def test_a_part_runs_and_leaves_a_page_and_no_virtual_host(broker: Broker) -> None:
    shutil.rmtree(PAGE.parent, ignore_errors=True)

    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-m", "benchmarks", "--only", "start", "--quick"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    text = PAGE.read_text()
    assert "## Start" in text
    assert "This was a trial" in text
    (goal,) = [line for line in text.splitlines() if line.startswith("| worker start")]
    assert "✓" in goal or "✗" in goal
    assert not [each for each in broker.request("GET", "vhosts") if each["name"][:5] == "bench"]
    assert not list((PAGE.parent / "work").iterdir())


def test_an_unknown_part_is_refused_with_those_there_are() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--only", "everything"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert "slow-relay" in done.stderr
