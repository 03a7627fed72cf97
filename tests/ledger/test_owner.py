"""Who is alive, who is dead, and what the dead had in hands."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from consumer.ledger.owner import Owner, dead, in_hands, remove

ANOTHER = """
import sys, time
from pathlib import Path
from consumer.ledger.owner import Owner

owner = Owner(Path(sys.argv[1]), 3)
owner.take(0, b"0" * 16)
owner.take(2, b"2" * 16)
owner.take(0, bytes(16)) if len(sys.argv) > 2 else None
print(owner.name, flush=True)
time.sleep(60)
"""


@contextmanager
def another(folders: Path) -> Iterator["tuple[subprocess.Popen[str], Path]"]:
    """Another process that owns, with its folder."""
    with subprocess.Popen(
        [sys.executable, "-c", ANOTHER, str(folders)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, folders / process.stdout.readline().strip()
        finally:
            process.kill()


def is_dead(folder: Path) -> bool:
    with dead(folder) as found:
        return found


def test_a_living_process_is_not_dead_though_it_stands_still(tmp_path: Path) -> None:
    with another(tmp_path) as (process, folder):
        assert not is_dead(folder)
        process.send_signal(signal.SIGSTOP)
        assert not is_dead(folder)


def test_a_killed_process_is_dead_and_its_hands_are_known(tmp_path: Path) -> None:
    with another(tmp_path) as (process, folder):
        process.kill()
        process.wait(10)

        assert is_dead(folder)
        assert in_hands(folder) == (b"0" * 16, b"2" * 16)


def test_what_is_no_folder_of_a_process_is_not_dead(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / "empty").mkdir()

    assert not is_dead(tmp_path / "notes.txt")
    assert not is_dead(tmp_path / "empty")


def test_one_at_a_time_settles_the_dead_and_once(tmp_path: Path) -> None:
    owner = Owner(tmp_path, 1)
    owner.close()

    with dead(owner.folder) as first:
        assert first
        assert not is_dead(owner.folder), "it is being settled"
        remove(owner.folder)
        assert not owner.folder.exists()

    assert not is_dead(owner.folder)


def test_what_was_put_down_is_in_no_hands(tmp_path: Path) -> None:
    owner = Owner(tmp_path, 2)
    owner.take(0, b"a" * 16)
    owner.take(1, b"b" * 16)
    owner.put_down(0)
    owner.close()

    assert in_hands(owner.folder) == (b"b" * 16,)


def test_names_are_not_used_again_and_tell_the_pid(tmp_path: Path) -> None:
    first, second = Owner(tmp_path, 1), Owner(tmp_path, 1)

    assert first.name != second.name
    assert (first.folder / "lock").read_text() == f"{os.getpid()}\n"
    for owner in (first, second):
        owner.close()


STOPS_UNBORN = """
import sys
from pathlib import Path
from consumer.ledger import owner

def stop(*_arguments):
    print("unborn", flush=True)
    sys.stdin.read()
    return real(*_arguments)

real = getattr(owner, sys.argv[2])
setattr(owner, sys.argv[2], stop)
print(owner.Owner(Path(sys.argv[1]), 3).name, flush=True)
sys.stdin.read()
"""


@contextmanager
def being_born(folders: Path, step: str) -> Iterator["subprocess.Popen[str]"]:
    """Another process that stands before this step of its birth until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", STOPS_UNBORN, str(folders), step],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "unborn\n"
            yield process
        finally:
            process.kill()


def unborn(folders: Path) -> list[str]:
    return [path.name for path in folders.glob(".*") if path.is_dir()]


@pytest.mark.parametrize("step", ["_lock", "_hands"])
def test_what_was_killed_unborn_is_cleared_by_the_next_that_is_born(
    tmp_path: Path, step: str
) -> None:
    with being_born(tmp_path, step) as process:
        process.kill()
        process.wait(10)
    assert len(unborn(tmp_path)) == 1

    Owner(tmp_path, 1).close()

    assert unborn(tmp_path) == []


@pytest.mark.parametrize("step", ["_lock", "_hands"])
def test_what_is_being_born_is_left_alone(tmp_path: Path, step: str) -> None:
    with being_born(tmp_path, step) as process:
        Owner(tmp_path, 1).close()

        name, _nothing = process.communicate(timeout=10)

    assert process.returncode == 0
    assert (tmp_path / name.strip() / "lock").is_file()
    assert unborn(tmp_path) == []


def test_what_somebody_else_keeps_hidden_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".snapshots").mkdir()

    Owner(tmp_path, 1).close()

    assert unborn(tmp_path) == [".snapshots"]
