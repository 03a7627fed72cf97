"""The ledger is locked, its disk is full, it is removed, and the clock jumps."""

import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from tests.faults.crew import Crew
from tests.faults.scene import Scene
from tests.faults.sink import AtDot
from tests.support.consumer_process import state_folder, wait_until
from tests.support.redis_server import RedisServer, redis_server

DISK_BYTES: Final = 8 * 2**20


def play_trouble(
    scene: Scene, trouble: Callable[[], AbstractContextManager[None]], **settings: Any
) -> None:
    """Bring the ledger into trouble three times under load, once with a consumer killed amid it."""
    scene.sink.answer_after_seconds = 0.02
    scene.publish(4_000)
    with scene.consumers(2, **settings) as crew:
        for round_ in range(3):
            scene.wait_for_more(200)
            alarms = len(crew.events("ledger in trouble"))
            with trouble():
                wait_for_alarms(crew, alarms + 2)
                if round_ == 1:
                    crew.signal(0)
            scene.fault()
        assert any(scene.left().values()), "the trouble came too late to matter"
        assert crew.events("ledger is back")
        count = scene.finish()
    count.holds()


def wait_for_alarms(crew: Crew, alarms: int) -> None:
    wait_until(lambda: len(crew.events("ledger in trouble")) >= alarms, 30, "the alarms")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the ledger's file, as a process that stopped amid a transaction does."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a file system of its own for the length of the block."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={DISK_BYTES}", "hopmail-test"]
    subprocess.run(["mount", *options, str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Leave no byte free on the small disk."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 512):
            pass
    yield
    filler.unlink()


@pytest.mark.faults(27, "ledger locked for more than 5 s")
@pytest.mark.timeout(200)
def test_a_locked_ledger_stops_sending_and_loses_nothing(scene: Scene) -> None:
    folder = state_folder(scene.vhost.url)
    play_trouble(scene, lambda: locked(folder / "ledger.sqlite3"), state_dir=folder)


@contextmanager
def killed(server: RedisServer) -> Iterator[None]:
    """Have it dead for the length of the block, and back with all it had on disk."""
    server.kill()
    yield
    server.start()


@pytest.mark.faults(27, "Redis, which keeps the ledger, killed")
@pytest.mark.timeout(200)
def test_a_killed_redis_loses_and_doubles_nothing(scene: Scene, tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        play_trouble(scene, lambda: killed(server), ledger_url=server.url)


@pytest.mark.faults(27, "ledger's disk full")
@pytest.mark.timeout(200)
def test_a_full_disk_under_the_ledger_stops_sending_and_loses_nothing(scene: Scene) -> None:
    disk = scene.folder / "state"
    with small_disk(disk):
        play_trouble(scene, lambda: full(disk), state_dir=disk)


@pytest.mark.faults(27, "ledger's file removed")
@pytest.mark.timeout(200)
def test_a_removed_ledger_is_begun_anew_and_loses_nothing(scene: Scene) -> None:
    folder = state_folder(scene.vhost.url)
    scene.sink.answer_after_seconds = 0.02
    scene.publish(4_000)
    with scene.consumers(2) as crew:
        for round_ in range(3):
            scene.wait_for_more(200)
            for path in folder.glob("ledger.sqlite3*"):
                if path.is_file():
                    path.unlink()
            scene.fault()
            wait_for_alarms(crew, round_ + 1)
        assert any(scene.left().values()), "the removals came too late to matter"
        scene.finish().holds()


BY_ANOTHER_CLOCK: Final = (
    "-c",
    """
import os, sys
os.environ |= {
    "LD_PRELOAD": "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "FAKETIME_NO_CACHE": "1",
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
}
os.execv(sys.executable, [sys.executable, "-m", "consumer", *sys.argv[1:]])
""",
)


@pytest.mark.faults(28, "consumers' clock jumps by an hour, to and fro")
@pytest.mark.timeout(200)
def test_a_jump_of_the_clock_expires_nothing_and_holds_up_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = scene.folder / "clock"
    clock.write_text("+0")
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(clock))
    refused: set[str] = set()

    def fate(message_id: str) -> AtDot:
        if message_id in refused or not message_id.endswith("0"):
            return AtDot.TAKE
        refused.add(message_id)
        return AtDot.REFUSE

    scene.sink.at_dot = fate
    scene.sink.answer_after_seconds = 0.02
    scene.publish(4_000)
    with scene.consumers(2, BY_ANOTHER_CLOCK) as crew:
        for jump in ("+1h", "-1h", "+0", "-1h", "+1h", "+0"):
            scene.wait_for_more(200)
            clock.write_text(jump)
            scene.fault()
        assert any(scene.left().values()), "the jumps came too late to matter"
        count = scene.finish()
        hours = {line["timestamp"][:13] for line in crew.lines}
    count.holds()
    assert not count.dead
    assert not count.duplicated
    assert len(hours) >= 3, "the clock did not jump"
