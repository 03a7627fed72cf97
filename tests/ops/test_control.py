"""What an operator asks of running processes: the file, its damages, and who looks at it."""

import json
import logging
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from consumer.core.paused import Paused
from consumer.ops import logs
from consumer.ops.asked import LARGEST_BYTES, LOG_LEVEL, Asked, Damaged
from consumer.ops.control import NAME, Control
from publisher_lib.routing import Lane
from tests.ops.output import Output
from tests.support.small_disk import small_disk

pytestmark = pytest.mark.usefixtures("restored_logging")

DAMAGED = [
    b"",
    b"{",
    b"[1]",
    b"null",
    b'"DEBUG"',
    b"\xff\xfe\x00",
    b"[" * 50_000,
    b'{"log_level": "LOUD"}',
    b'{"log_level": ["DEBUG"]}',
    b'{"log_level": 10}',
    b'{"paused": ["bulk"]}',
    b'{"paused": {"bulk": {}}}',
    b'{"paused": {"other": {"by": "a", "reason": "b", "since": "2026-11-28T12:00:00+00:00"}}}',
    b'{"log_level": "DEBUG"}' + b" " * LARGEST_BYTES,
]


def test_without_a_file_nothing_is_asked(tmp_path: Path) -> None:
    assert Control(tmp_path).read() == Asked()


def test_what_was_asked_is_read_and_taken_back(tmp_path: Path) -> None:
    control = Control(tmp_path)

    control.ask(LOG_LEVEL, "DEBUG")
    assert Control(tmp_path).read() == Asked(log_level="DEBUG")

    control.ask(LOG_LEVEL, None)
    assert Control(tmp_path).read() == Asked()
    assert list(tmp_path.iterdir()) == []


def test_what_another_version_asks_stays(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"another": ["bulk"]}')
    control = Control(tmp_path)

    control.ask(LOG_LEVEL, "DEBUG")
    assert control.read() == Asked(log_level="DEBUG")
    control.ask(LOG_LEVEL, None)

    assert json.loads((tmp_path / NAME).read_text()) == {"another": ["bulk"]}


def paused(reason: str) -> Paused:
    return Paused("ada", reason, datetime(2026, 11, 28, 12, tzinfo=UTC))


def test_a_lane_is_paused_and_resumed_whatever_else_is_asked(tmp_path: Path) -> None:
    control = Control(tmp_path)

    control.ask(LOG_LEVEL, "DEBUG")
    assert control.pause({Lane.BULK: paused("first")}) == {}
    before = control.pause(dict.fromkeys(Lane, paused("second")))
    assert before == {Lane.BULK: paused("first")}

    both = {Lane.BULK: paused("first"), Lane.TRANSACTIONAL: paused("second")}
    assert Control(tmp_path).read() == Asked(log_level="DEBUG", paused=both)

    control.ask(LOG_LEVEL, None)
    assert control.resume([Lane.BULK]) == both
    assert control.read() == Asked(paused={Lane.TRANSACTIONAL: paused("second")})

    control.resume(Lane)
    assert control.read() == Asked()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", DAMAGED)
def test_a_pause_mends_a_damaged_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    control = Control(tmp_path)
    assert control.damage

    assert control.pause({Lane.BULK: paused("why")}) == {}

    assert not control.damage
    assert control.read().paused.keys() == {Lane.BULK}


def test_whoever_asks_follows_no_link_and_flushes_file_and_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.write_text("stays")
    state = tmp_path / "state"
    state.mkdir()
    (state / NAME).with_suffix(".tmp").symlink_to(other)
    flushed: list[Path] = []

    def fsync(descriptor: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink())

    monkeypatch.setattr(os, "fsync", fsync)
    Control(state).pause({Lane.BULK: paused("why")})

    assert other.read_text() == "stays"
    assert not (state / NAME).is_symlink()
    assert flushed == [(state / NAME).with_suffix(".tmp"), state]


def test_whoever_asks_every_process_can_read_it(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        Control(tmp_path).pause({Lane.BULK: paused("why")})
    finally:
        os.umask(before)

    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o644


def test_on_a_full_disk_what_was_asked_stays_and_can_be_ended(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        control = Control(disk)
        control.pause({Lane.BULK: paused("first")})
        with suppress(OSError), (disk / "hog").open("wb", buffering=0) as hog:
            while True:
                hog.write(bytes(1024))

        with pytest.raises(OSError, match="No space left"):
            control.pause({Lane.TRANSACTIONAL: paused("x" * 200)})
        assert control.read().paused == {Lane.BULK: paused("first")}
        assert sorted(path.name for path in disk.iterdir()) == [NAME, "hog"]

        control.resume(Lane)
        assert control.read() == Asked()


def test_two_that_ask_at_once_both_get_it(tmp_path: Path) -> None:
    threads = [
        threading.Thread(target=Control(tmp_path).ask, args=(f"member-{number}", "x"))
        for number in range(30)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(json.loads((tmp_path / NAME).read_text())) == 30


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_is_refused_and_made_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    control = Control(tmp_path)

    with pytest.raises(Damaged):
        control.read()
    control.ask(LOG_LEVEL, "DEBUG")

    assert control.read() == Asked(log_level="DEBUG")


def test_a_look_tells_of_changes_only(tmp_path: Path) -> None:
    looking, control = Control(tmp_path), Control(tmp_path)

    assert looking.look() == Asked()
    assert looking.look() is None
    control.ask(LOG_LEVEL, "DEBUG")
    assert looking.look() == Asked(log_level="DEBUG")
    assert looking.look() is None
    control.ask(LOG_LEVEL, None)
    assert looking.look() == Asked()


@pytest.mark.parametrize("content", DAMAGED)
def test_a_look_at_a_damaged_file_changes_nothing_and_is_told_of_once(
    tmp_path: Path, output: Output, content: bytes
) -> None:
    logs.configure("INFO", "json", 0)
    control = Control(tmp_path)
    (tmp_path / NAME).write_bytes(content)

    assert [control.look() for _ in range(3)] == [None] * 3

    line = output.event()
    assert (line["level"], line["event"]) == ("WARNING", "control file ignored")


def test_a_folder_where_the_file_should_be_is_told_of_once(tmp_path: Path, output: Output) -> None:
    logs.configure("INFO", "json", 0)
    (tmp_path / NAME).mkdir()
    control = Control(tmp_path)

    assert [control.look() for _ in range(3)] == [None] * 3

    assert output.event()["detail"] == "Is a directory"


@contextmanager
def no_descriptor_free() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_could_not_be_read_is_looked_at_again_and_told_of_once(
    tmp_path: Path, output: Output
) -> None:
    logs.configure("INFO", "json", 0)
    looking, control = Control(tmp_path), Control(tmp_path)
    looking.look()
    control.ask(LOG_LEVEL, "DEBUG")

    with no_descriptor_free():
        assert [looking.look() for _ in range(3)] == [None] * 3

    assert looking.look() == Asked(log_level="DEBUG")
    assert looking.look() is None
    line = output.event()
    assert (line["event"], line["detail"]) == ("control file ignored", "Too many open files")


@pytest.mark.parametrize("before", logs.LEVELS)
@pytest.mark.parametrize("after", logs.LEVELS)
def test_a_change_of_the_level_is_seen_at_each_level(
    output: Output, before: Any, after: Any
) -> None:
    logs.configure(before, "json", 0)

    logs.change_level(after)
    for level in logs.LEVELS:
        logging.getLogger("x").log(logging.getLevelName(level), "line")

    told = output.events()
    changes = [line for line in told if line["event"] == "log level changed"]
    assert [(line["from"], line["to"]) for line in changes] == (
        [] if before == after else [(before, after)]
    )
    heard = [line["level"] for line in told if line["event"] == "line"]
    assert heard == [*logs.LEVELS[logs.LEVELS.index(after) :]]
