"""The rate that processes keep together: what the file says, and what they make of it."""

import os
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from consumer.smtp import pace as pace_module
from consumer.smtp.pace import SLACK_SECONDS, Pace

ROOT = Path(__file__).parents[2]

TAKER = """
import sys, time
from pathlib import Path
from consumer.smtp.pace import Pace
pace = Pace(Path(sys.argv[1]), float(sys.argv[2]))
print("ready", flush=True)
until = time.monotonic() + float(sys.argv[3])
while time.monotonic() < until:
    wait = pace.take()
    if wait:
        time.sleep(min(wait, 0.05))
    else:
        print(time.monotonic(), flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "pace"


def state(path: Path) -> tuple[str, float]:
    boot, due = path.read_text().split()
    return boot, float(due)


def most_in(seconds: float, moments: list[float]) -> int:
    """Return the largest number of moments in any window of that length.

    A moment is noted after its token is taken: each taker may come late with one.
    """
    return max(sum(start <= moment <= start + seconds for moment in moments) for start in moments)


def test_a_token_is_there_at_once_and_the_next_in_its_time(path: Path) -> None:
    pace = Pace(path, 0.1)

    first, second = pace.take(), pace.take()

    assert first == 0
    assert 9 < second <= 10


def test_a_refused_token_costs_nothing(path: Path) -> None:
    pace = Pace(path, 0.1)
    pace.take()
    due = state(path)

    for _ in range(5):
        assert pace.take() > 0

    assert state(path) == due


def test_an_unused_token_is_there_again(path: Path) -> None:
    pace = Pace(path, 0.1)

    for _ in range(3):
        assert pace.take() == 0
        pace.give_back()

    assert pace.take() == 0
    assert pace.take() > 9


def test_after_a_rest_no_more_than_the_slack_comes_at_once(path: Path) -> None:
    boot = pace_module.BOOT_ID.read_text().strip()
    pace = Pace(path, 100)
    path.write_text(f"{boot} {max(0.0, time.monotonic() - 3600):.6f}\n")

    at_once, started = 0, time.monotonic()
    while pace.take() == 0:
        at_once += 1

    assert at_once >= 100 * SLACK_SECONDS
    assert at_once <= 2 + 100 * (SLACK_SECONDS + time.monotonic() - started)


def test_a_restart_and_another_process_go_on_where_it_stood(path: Path) -> None:
    assert Pace(path, 0.1).take() == 0

    assert Pace(path, 0.1).take() > 9


def test_a_reboot_begins_anew(path: Path) -> None:
    pace = Pace(path, 0.1)
    path.write_text(f"another-boot {time.monotonic() + 5:.6f}\n")

    assert pace.take() == 0
    assert state(path)[0] == pace_module.BOOT_ID.read_text().strip()


@pytest.mark.parametrize("garbage", [b"", b"\xff\xfe", b"x y\n", b"0" * 5000])
def test_what_is_no_state_is_forgotten(path: Path, garbage: bytes) -> None:
    pace = Pace(path, 0.1)
    path.write_bytes(garbage)

    assert pace.take() == 0
    assert pace.take() > 9
    assert len(path.read_bytes()) < 100


def test_a_faster_rate_holds_at_once(path: Path) -> None:
    assert Pace(path, 0.01).take() == 0

    assert Pace(path, 1).take() <= 1


def test_a_file_that_is_taken_away_is_made_again(path: Path) -> None:
    pace = Pace(path, 0.1)
    assert pace.take() == 0
    path.unlink()

    assert pace.take() == 0
    assert pace.take() > 9


def test_a_folder_that_cannot_be_used_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(OSError, match="file"):
        Pace(tmp_path / "file" / "pace", 1)


def test_a_file_lost_later_gives_no_token_and_is_told_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pace = Pace(path, 1000)
    path.unlink()
    path.parent.rmdir()

    assert [pace.take(), pace.take()] == [pace_module.LOOK_AGAIN_SECONDS] * 2
    pace.give_back()
    assert [record.getMessage() for record in caplog.records] == ["rate not kept"]
    path.parent.mkdir()
    assert pace.take() == 0


def test_threads_share_the_rate(path: Path) -> None:
    pace, moments = Pace(path, 50), []
    until = time.monotonic() + 1.0

    def take() -> None:
        while time.monotonic() < until:
            if wait := pace.take():
                time.sleep(min(wait, 0.02))
            else:
                moments.append(time.monotonic())

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert most_in(0.5, sorted(moments)) <= 50 * (0.5 + SLACK_SECONDS) + 2 + len(threads)
    assert len(moments) > 10


def test_processes_share_the_rate(path: Path) -> None:
    takers = [
        subprocess.Popen(
            [sys.executable, "-c", TAKER, str(path), "20", "2"],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    said = [taker.communicate(timeout=60)[0].splitlines() for taker in takers]

    assert [lines[0] for lines in said] == ["ready"] * 3
    moments = sorted(float(moment) for lines in said for moment in lines[1:])
    assert most_in(1.0, moments) <= 20 * (1.0 + SLACK_SECONDS) + 2 + len(takers)
    assert all(later > earlier for earlier, later in pairwise(moments))
