"""A message's lines found in the archive, whatever else lies there."""

import gzip
import json
import logging
import os
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from consumer.ops import archive_search
from consumer.ops.archive_search import BLOCK_BYTES, LONGEST_LINE_BYTES, search
from consumer.ops.lines import MEMBERS, HumanLines, encoded

CURRENT = "hopmail-vm-0.log"
FULL = "hopmail-vm-1.20261128T220000000Z.log"


def line(message_id: str, second: int = 0, **fields: Any) -> bytes:
    told = {
        "timestamp": f"2026-11-28T22:{second // 60:02}:{second % 60:02}.000Z",
        "level": "INFO",
        "event": "handled",
        "message_id": message_id,
        **fields,
    }
    return json.dumps(told).encode() + b"\n"


def write(path: Path, lines: Iterable[bytes]) -> None:
    content = b"".join(lines)
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)


def attempts(folder: Path, message_id: str = "m-1") -> list[Any]:
    return [each.fields.get("attempt") for each in search(folder, message_id).lines]


def test_lines_of_all_files_are_found_in_the_order_of_their_time(tmp_path: Path) -> None:
    write(tmp_path / CURRENT, [line("m-1", 3, attempt=3), line("m-2", 4)])
    write(tmp_path / f"{FULL}.gz", [line("m-1", 1, attempt=1), line("m-10", 1, attempt=9)])
    write(tmp_path / FULL.replace("vm-1", "vm-1-2"), [line("m-1", 2, attempt=2)])
    write(tmp_path / "hopmail-vm-0+1.log", [line("m-1", 4, attempt=4)])
    write(tmp_path / "hopmail-vm-run.log", [line("m-1", 5, attempt=5)])
    for strange in (f"{FULL}.gz.tmp", "other.log", "hopmail-vm-0.log.bak"):
        write(tmp_path / strange, [line("m-1", attempt=99)])

    found = search(tmp_path, "m-1")

    assert [each.fields["attempt"] for each in found.lines] == [1, 2, 3, 4, 5]
    assert [each.worker for each in found.lines] == ["vm-1", "vm-1-2", "vm-0", "vm-0", "vm-run"]
    assert (found.troubles, found.left_out) == ([], 0)


def test_a_line_that_only_speaks_of_it_is_another_s(tmp_path: Path) -> None:
    write(tmp_path / CURRENT, [line("m-2", detail='"message_id": "m-1"'), line("m-1x")])

    assert attempts(tmp_path) == []


@pytest.mark.parametrize("message_id", ['a"b', "a\\b", "a/b", "%41", "{}"])
def test_an_id_may_hold_any_mark(tmp_path: Path, message_id: str) -> None:
    write(tmp_path / CURRENT, [line(message_id, attempt=1)])

    assert attempts(tmp_path, message_id) == [1]


def test_a_file_that_is_met_under_two_names_counts_once(tmp_path: Path) -> None:
    write(tmp_path / FULL, [line("m-1", attempt=1)])
    write(tmp_path / f"{FULL}.gz", [line("m-1", attempt=1)])

    assert attempts(tmp_path) == [1]


@pytest.mark.parametrize("to", [FULL.replace("vm-1", "vm-0"), f"{FULL}.gz".replace("vm-1", "vm-0")])
def test_a_file_that_gets_another_name_meanwhile_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    write(tmp_path / CURRENT, [line("m-1", attempt=1)])
    write(tmp_path / "hopmail-a-0.log", [line("m-1", attempt=1)])
    real = archive_search._read

    def read(path: Path, *rest: Any) -> None:
        if path.name != "hopmail-a-0.log" and (tmp_path / CURRENT).exists():
            write(tmp_path / to, [line("m-1", 1, attempt=2)])
            (tmp_path / CURRENT).unlink()
        real(path, *rest)

    monkeypatch.setattr(archive_search, "_read", read)

    assert attempts(tmp_path) == [1, 2]


def test_lines_across_blocks_are_whole_and_the_torn_last_one_is_left(tmp_path: Path) -> None:
    filler = line("m-2", text="x" * (BLOCK_BYTES - 300))
    lines = [part for n in range(5) for part in (filler, line("m-1", n, attempt=n, text="y" * 400))]
    write(tmp_path / CURRENT, [*lines, line("m-1", attempt=99)[:-2]])

    assert attempts(tmp_path) == [0, 1, 2, 3, 4]


def test_what_has_no_end_is_passed_over_in_flat_memory(tmp_path: Path) -> None:
    with (tmp_path / CURRENT).open("wb") as file:
        file.truncate(12 * LONGEST_LINE_BYTES)
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + line("m-1", attempt=1))

    tracemalloc.start()
    try:
        assert attempts(tmp_path) == [1]
        _now, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4 * LONGEST_LINE_BYTES


def test_of_very_many_lines_the_latest_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_search, "MOST_LINES", 10)
    write(tmp_path / CURRENT, [line("m-1", n, attempt=n) for n in range(100, 200)])
    write(tmp_path / f"{FULL}.gz", [line("m-1", n, attempt=n) for n in range(100)])

    found = search(tmp_path, "m-1")

    assert [each.fields["attempt"] for each in found.lines] == [*range(190, 200)]
    assert found.left_out == 190


def test_damage_costs_the_damaged_only(tmp_path: Path) -> None:
    packed = gzip.compress(line("m-1", attempt=1) * 2)
    (tmp_path / f"{FULL}.gz").write_bytes(packed[: len(packed) - 6])
    (tmp_path / f"{FULL}.gz".replace("vm-1", "vm-2")).write_bytes(b"no gzip at all")
    odd = [b"m-1\n", b'{"message_id": "m-1"\n', b'["m-1"]\n', b'{"m-1": 1}\n', b"\xff m-1\n"]
    timeless = [line("m-1", timestamp="never"), line("m-1", timestamp=1), line("m-1", event=[])]
    write(tmp_path / CURRENT, [*odd, *timeless, line("m-1", 1, attempt=2)])

    found = search(tmp_path, "m-1")

    assert [each.fields["attempt"] for each in found.lines][-1] == 2
    assert len(found.troubles) == 2
    assert all("it is damaged" in trouble for trouble in found.troubles)


def test_a_log_for_a_person_s_eyes_is_read_as_well(tmp_path: Path) -> None:
    fields = {
        "message_id": "m-1",
        "to": ["a***@x.org"],
        "text": "queued outcome=refused message_id=m-9",
        "attempt": 2,
        "outcome": "accepted",
        "code": 250,
    }
    record = logging.makeLogRecord({"name": "handled", "msg": "handled", "levelname": "INFO"})
    record.__dict__[MEMBERS] = encoded(fields)
    human = HumanLines(0).format(record).encode() + b"\n"
    write(tmp_path / CURRENT, [human, human.replace(b"message_id=m-1 ", b"message_id=m-12 ")])

    (found,) = search(tmp_path, "m-1").lines

    assert (found.event, found.fields["outcome"], found.fields["attempt"]) == (
        "handled",
        "accepted",
        2,
    )
    assert found.fields["to"] == ["a***@x.org"]


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        search(tmp_path / "nothing", "m-1")
