"""`python -m benchmarks` from its arguments to its page, beside the real broker."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.__main__ import PARTS, TRIALS
from tests.support.broker import Broker
from tests.support.consumer_process import wait_until

ROOT = Path(__file__).parents[2]
PAGE = ROOT / ".state" / "benchmarks" / "results.md"
COMMITTED = (ROOT / "benchmarks" / "results.md", ROOT / "benchmarks" / "results.png")


def test_a_part_runs_and_leaves_a_page_and_no_virtual_host(broker: Broker) -> None:
    shutil.rmtree(PAGE.parent, ignore_errors=True)
    committed = digests()

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
    assert "This is a trial" in text
    assert not {"✓", "✗"} & set(text)
    assert "results.png" not in text
    assert done.stdout.splitlines()[-1].endswith("seconds; written: .state/benchmarks/results.md")
    assert digests() == committed
    # Another test's, which measures beside this one, go by themselves.
    left = made(broker)
    wait_until(lambda: not left & made(broker), 60, f"the end of {left}")


def made(broker: Broker) -> set[str]:
    """Return the virtual hosts and folders of parts that are measured."""
    names = (each["name"] for each in broker.request("GET", "vhosts"))
    folders = (str(path) for path in (PAGE.parent / "work").iterdir())
    return {*(name for name in names if name.startswith("bench")), *folders}


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
    (line,) = done.stderr.splitlines()
    assert "'everything'" in line
    assert line.endswith(", ".join(PARTS))


def test_the_readme_names_the_parts_and_where_they_are_written() -> None:
    readme = (ROOT / "README.md").read_text()
    (said,) = [text for text in readme.split("`make ") if text.startswith("bench`")]

    assert not [part for part in PARTS if f"`{part}`" not in said]
    assert f"`{TRIALS}`" in said


def digests() -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in COMMITTED]
