"""The log in files: no line is lost and none is there twice, whatever happens meanwhile."""

import gzip
import json
import logging
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from consumer.ops import logs
from consumer.ops.archive import Archive
from consumer.ops.archive_files import name_of, tidy
from tests.ops.output import Output
from tests.ops.writer import THREADS
from tests.support.consumer_process import wait_until
from tests.support.small_disk import small_disk

pytestmark = pytest.mark.usefixtures("restored_logging")

KEEP = timedelta(days=14)
DAY_SECONDS = 86_400
MAX_BYTES = 100_000

Clock = Callable[[str], float]
"""Sets the clock to a moment, and returns it as Unix time."""

log = logging.getLogger("consumer.somewhere")


def lines(folder: Path) -> list[dict[str, Any]]:
    """Return every line of every file; each must parse."""
    found: list[dict[str, Any]] = []
    for path in folder.iterdir():
        text = path.read_bytes()
        text = gzip.decompress(text) if path.suffix == ".gz" else text
        assert not text or text.endswith(b"\n"), path
        found += map(json.loads, text.splitlines())
    return found


def counted(folder: Path) -> Counter[tuple[str, int]]:
    """Return how often each of the writers' lines is there."""
    return Counter(
        (line["event"], line["number"]) for line in lines(folder) if line["logger"] == "writer"
    )


class Writer:
    """A process that logs: to which folder, its worker, max_bytes, name, first number and count."""

    def __init__(self, folder: Path, *arguments: object, **variables: str) -> None:
        self._told = folder.with_name(f"told-{time.monotonic_ns()}")
        with self._told.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.ops.writer", folder, *map(str, arguments)],
                cwd=Path(__file__).parents[2],
                env=os.environ | variables,
                stdout=file,
            )

    def wait_begun(self) -> None:
        """Wait until it has logged some lines."""
        wait_until(lambda: self._told.stat().st_size, 30, "its first lines")

    def told(self) -> list[int]:
        """Return the numbers of the lines it says it logged, once it has ended."""
        self.process.wait(120)
        # Of the last one a killed process may have told a part only.
        return [int(line) for line in self._told.read_text().split("\n")[:-1]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the archive's folder."""
    (tmp_path / "archive").mkdir()
    return tmp_path / "archive"


@contextmanager
def archiving(
    folder: Path, max_bytes: int = MAX_BYTES, *, to_stdout: bool = True
) -> Iterator[Archive]:
    """Have the log of worker 0 go to an archive for the length of a block."""
    archive = Archive(folder, "0", max_bytes, KEEP)
    archive.open()
    logs.configure("INFO", "json", 0, archive, to_stdout=to_stdout)
    try:
        yield archive
    finally:
        archive.close()


def current(folder: Path) -> Path:
    return folder / f"{name_of('0')}.log"


def set_age(path: Path, days: float) -> None:
    """Have a file's last line be so old."""
    os.utime(path, (time.time() - days * DAY_SECONDS,) * 2)


def tidied(archive: Archive) -> None:
    """Tend the archive until what is to be done is done."""
    archive.tend()
    assert archive._tidier is not None
    archive._tidier.join(30)


@pytest.mark.parametrize("workers", [(0, 1), (0, 0)], ids=["two workers", "the same twice"])
def test_no_line_of_two_processes_is_lost_or_doubled(
    folder: Path, workers: tuple[int, int]
) -> None:
    """The same worker is there twice while one ends and the next has begun."""
    processes = [
        Writer(folder, worker, MAX_BYTES, name, 0, 20_000)
        for worker, name in zip(workers, "ab", strict=True)
    ]

    assert [len(process.told()) for process in processes] == [20_000, 20_000]

    tidy(folder, KEEP)
    assert counted(folder) == {(name, number): 1 for name in "ab" for number in range(20_000)}
    assert len(list(folder.glob("*.log.gz"))) > 50
    assert {path.suffix for path in folder.iterdir()} <= {".log", ".gz"}


def test_no_line_is_lost_or_doubled_where_processes_are_killed(folder: Path) -> None:
    """Files are small, so that most are killed while one is renamed or compressed."""
    told: Counter[tuple[str, int]] = Counter()
    for round_number in range(15):
        writer = Writer(folder, 0, 20_000, "a", round_number * 1_000_000, 1_000_000)
        writer.wait_begun()
        time.sleep(random.uniform(0, 0.3))  # noqa: S311 - no secret
        writer.process.kill()
        told.update(("a", number) for number in writer.told())

    Writer(folder, 0, 20_000, "b", 0, 10).told()
    tidy(folder, KEEP)

    found = counted(folder)
    assert set(found.values()) == {1}
    # What was logged may not have been told of any more, as stdout is buffered.
    assert told.keys() - found.keys() == set()
    assert not list(folder.glob("*.tmp"))


LINE = '{"event": "x", "logger": "writer", "number": 1}\n'


def leave(folder: Path, *parts: str) -> None:
    """Leave what a process does that is killed amid compressing."""
    full = folder / "hopmail-gone-7.20260101T000000000Z.log"
    content = {
        "": LINE.encode(),
        ".gz.tmp": gzip.compress(LINE.encode())[:20],
        ".gz": gzip.compress(LINE.encode()),
    }
    for part in parts:
        full.with_name(full.name + part).write_bytes(content[part])


@pytest.mark.parametrize("parts", [("",), ("", ".gz.tmp"), ("", ".gz"), (".gz",)])
def test_what_another_process_left_half_done_is_finished(
    folder: Path, parts: tuple[str, ...]
) -> None:
    leave(folder, *parts)

    with archiving(folder) as archive:
        tidied(archive)

    assert [path.name for path in folder.glob("hopmail-gone-*")] == [
        "hopmail-gone-7.20260101T000000000Z.log.gz"
    ]
    assert counted(folder) == {("x", 1): 1}


def test_what_another_process_still_writes_is_left_alone(folder: Path) -> None:
    writer = Writer(folder, 1, 999_999_999, "a", 0, 1_000_000)
    try:
        writer.wait_begun()

        tidy(folder, timedelta(seconds=-60))

        assert (folder / f"{name_of('1')}.log").exists()
    finally:
        writer.process.kill()
        writer.process.wait()


def test_a_line_that_its_process_died_of_is_cut_off(folder: Path) -> None:
    current(folder).write_text(LINE + LINE[:20])

    with archiving(folder):
        log.info("after")

    assert [line["event"] for line in lines(folder)] == ["x", "after"]


def test_old_files_go_and_only_ours(folder: Path) -> None:
    ours = (
        "hopmail-a-0.log",
        "hopmail-a-run.log",
        "hopmail-a-b-12+1.log",
        "hopmail-a-0.20260101T000000000Z.log",
        "hopmail-a-0.20260101T000000000Z.log.gz",
        "hopmail-a-0.20260101T000000000Z.log.gz.tmp",
    )
    others = ("hopmail-a-0.prom", "hopmail-0.log.bak", "app.log", "hopmail-a-0.2026.log.gz")
    young = "hopmail-a-1.20260101T000000000Z.log.gz"
    for name in (*ours, *others, young):
        (folder / name).write_text("")
        set_age(folder / name, 13.9 if name == young else 14.1)

    with archiving(folder) as archive:
        tidied(archive)

    assert {path.name for path in folder.iterdir()} == {*others, young}


def test_what_cannot_be_removed_keeps_nothing_else(folder: Path, output: Output) -> None:
    first, last = (folder / f"hopmail-{name}-0.20260101T000000000Z.log.gz" for name in "az")
    for path in (first, last):
        path.write_text("")
        set_age(path, 15)
    leave(folder, "")
    # What something is mounted on cannot be removed.
    subprocess.run(["mount", "--bind", first, first], check=True)
    try:
        with archiving(folder) as archive:
            tidied(archive)
    finally:
        subprocess.run(["umount", first], check=True)

    assert first.exists()
    assert not last.exists()
    assert counted(folder) == {("x", 1): 1}
    assert list(folder.glob("hopmail-gone-*.gz"))
    assert output.event()["event"] == "log archive not tidied"


def test_a_compressed_file_is_as_old_as_its_last_line(folder: Path) -> None:
    leave(folder, "")
    (full,) = folder.iterdir()
    set_age(full, 3)

    tidy(folder, KEEP)

    (packed,) = folder.glob("*.gz")
    assert time.time() - packed.stat().st_mtime == pytest.approx(3 * DAY_SECONDS, abs=60)


def test_no_file_is_for_everybody_to_read(folder: Path) -> None:
    before = os.umask(0)
    try:
        with archiving(folder) as archive:
            log.info("full")
            archive.doRollover()
            tidied(archive)
            log.info("written")
    finally:
        os.umask(before)

    modes = {path.suffix: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == {".gz": 0o640, ".log": 0o640}


def test_the_first_line_of_a_day_is_in_another_file(folder: Path) -> None:
    with archiving(folder):
        log.info("today")
        tomorrow = log.makeRecord(log.name, logging.INFO, __file__, 1, "tomorrow", (), None)
        tomorrow.created += DAY_SECONDS
        log.handle(tomorrow)

    assert json.loads(current(folder).read_text())["event"] == "tomorrow"
    (full,) = set(folder.iterdir()) - {current(folder)}
    assert json.loads(full.read_text())["event"] == "today"


def test_a_day_that_ends_while_a_process_writes_has_a_file_of_its_own(folder: Path) -> None:
    """Days are UTC's; where this process lives it is afternoon."""
    clock = {"READS_TO_MIDNIGHT": "10000", "TZ": "XXX+09:30"}
    told = Writer(folder, 0, 999_999_999, "a", 0, 20_000, **clock).told()

    tidy(folder, KEEP)
    (ended,) = folder.glob("*.gz")
    texts = [gzip.decompress(ended.read_bytes()), current(folder).read_bytes()]
    days = [[json.loads(line)["timestamp"][:10] for line in text.splitlines()] for text in texts]
    before, after = days[0][0], days[1][-1]
    assert before < after
    assert set(days[0]) == {before}
    # What a thread had at hand when another one wrote the new day's first line.
    assert days[1].count(before) <= THREADS
    assert set(days[1]) <= {before, after}
    assert f".{after.replace('-', '')}T000000" in ended.name
    assert counted(folder) == {("a", number): 1 for number in told}
    assert len(told) == 20_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """Return what sets this process's clock to a moment of UTC, far from that in TZ."""

    def set_to(moment: str) -> float:
        seconds = datetime.fromisoformat(f"{moment}Z").timestamp()
        monkeypatch.setattr(time, "time", lambda: seconds)
        return seconds

    with monkeypatch.context() as zone:
        zone.setenv("TZ", "XXX+09:30")
        time.tzset()
        yield set_to
    time.tzset()


@pytest.mark.parametrize("is_tended", [False, True], ids=["a line", "a tick"])
@pytest.mark.parametrize(
    ("span", "files"),
    [
        (("2026-11-27T23:59:59", "2026-11-28T00:00:00"), 2),
        (("2026-11-28T00:00:00", "2026-11-28T23:59:59"), 1),
        (("2026-11-20T12:00:00", "2026-11-28T12:00:00"), 2),
        # Set back since.
        (("2026-11-28T00:00:00", "2026-11-27T23:59:59"), 1),
    ],
)
def test_a_file_of_a_day_that_is_over_is_closed_and_no_other(
    folder: Path, clock: Clock, span: tuple[str, str], files: int, *, is_tended: bool
) -> None:
    written, now = span
    current(folder).write_text(LINE)
    os.utime(current(folder), (clock(written),) * 2)
    clock(now)

    with archiving(folder) as archive:
        if is_tended:
            tidied(archive)
        log.info("after")

    assert len(list(folder.iterdir())) == files
    assert [line["event"] for line in lines(folder) if line["logger"] == "writer"] == ["x"]
    assert json.loads(current(folder).read_text().splitlines()[-1])["event"] == "after"


def test_a_day_s_end_is_seen_without_a_line(folder: Path) -> None:
    current(folder).write_text(LINE)
    set_age(current(folder), 2)

    with archiving(folder) as archive:
        tidied(archive)

    (packed,) = folder.iterdir()
    assert gzip.decompress(packed.read_bytes()).decode() == LINE


def test_a_file_that_is_taken_away_is_made_anew(folder: Path) -> None:
    with archiving(folder) as archive:
        log.info("before")
        current(folder).rename(folder / "taken")
        archive.tend()
        log.info("after")

    assert json.loads(current(folder).read_text())["event"] == "after"


def test_a_folder_that_is_taken_away_is_made_anew(folder: Path, output: Output) -> None:
    with archiving(folder) as archive:
        shutil.rmtree(folder)
        tidied(archive)
        log.info("after")

    assert json.loads(current(folder).read_text())["event"] == "after"
    assert [line["event"] for line in output.events()] == ["after"]


def test_a_line_is_the_same_on_standard_output_and_in_the_archive(
    folder: Path, output: Output
) -> None:
    with archiving(folder):
        log.info("x", extra={"message_id": "m-1"})

    assert current(folder).read_text() == output.text


def test_standard_output_can_be_spared(folder: Path, output: Output) -> None:
    with archiving(folder, to_stdout=False):
        log.info("x")

    assert output.text == ""
    assert [line["event"] for line in lines(folder)] == ["x"]


def test_the_archive_of_a_terminal_s_log_is_json(folder: Path) -> None:
    program = (
        "import logging, datetime, pathlib\n"
        "from consumer.ops import archive, logs\n"
        f"to = archive.Archive(pathlib.Path({str(folder)!r}), '0', 10**6, datetime.timedelta(1))\n"
        "logs.configure('INFO', 'auto', 0, to)\n"
        "logging.getLogger('x').info('ready')\n"
    )
    ours, theirs = os.openpty()
    try:
        subprocess.run([sys.executable, "-c", program], stdout=theirs, check=True)
        assert "Z INFO    ready " in os.read(ours, 4096).decode()
    finally:
        os.close(ours)
        os.close(theirs)

    assert json.loads(current(folder).read_text())["event"] == "ready"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    with small_disk(tmp_path / "disk", 256) as place:
        yield place


@pytest.mark.parametrize("to_stdout", [True, False])
def test_a_full_disk_loses_only_what_it_has_no_room_for_and_is_told_of_once(
    disk: Path, output: Output, *, to_stdout: bool
) -> None:
    rest = disk / "rest"
    with archiving(disk, to_stdout=to_stdout) as archive:
        log.info("before")
        with rest.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free)
        for number in range(40):
            log.info("meanwhile", extra={"number": number, "filler": "x" * 400})
        rest.unlink()
        archive._write_again_seconds = 0
        log.info("after")

    archived = lines(disk)
    events = [line["event"] for line in archived]
    assert events[0] == "before"
    assert events[-2:] == ["after", "log archive is written again"]
    kept = {line["number"] for line in archived if line["event"] == "meanwhile"}
    told = output.events()
    (trouble,) = [line for line in told if line["event"] == "log archive not written"]
    assert trouble["detail"] == "No space left on device"
    if to_stdout:
        assert [line["number"] for line in told if line["event"] == "meanwhile"] == [*range(40)]
    else:
        missed = {line["number"] for line in told if line["event"] == "meanwhile"}
        assert kept | missed == {*range(40)}
        assert not kept & missed
        assert archived[-1]["missed"] == len(missed) + 1


def test_a_file_that_cannot_be_renamed_is_written_on(folder: Path, output: Output) -> None:
    with archiving(folder, 1_000):
        # What something is mounted on cannot be renamed.
        subprocess.run(["mount", "--bind", current(folder), current(folder)], check=True)
        try:
            for number in range(20):
                log.info("x", extra={"number": number, "filler": "x" * 200})
        finally:
            subprocess.run(["umount", current(folder)], check=True)

    written = [line["number"] for line in lines(folder) if line["event"] == "x"]
    assert written == [*range(20)]
    assert [line["event"] for line in output.events()].count("log archive not rotated") == 1
