"""Who still has mail in hands, by what each worker wrote last."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from consumer.core.drained import Hands
from consumer.core.status import SILENT
from consumer.ops.metrics_files import LOCK
from consumer.ops.own_file import OwnFile
from consumer.ops.worker_hands import hands
from publisher_lib.routing import Lane

LONG_AGO = SILENT + timedelta(seconds=1)


def figures(age: timedelta, in_flight: int, *paused: Lane) -> bytes:
    wrote = (datetime.now(UTC) - age).timestamp()
    lines = [
        f'hopmail_heartbeat_timestamp_seconds{{worker="vm-0"}} {wrote}',
        *(f'hopmail_in_flight{{lane="{lane}",worker="vm-0"}} {in_flight}' for lane in Lane),
        *(f'hopmail_lane_paused{{lane="{lane}",worker="vm-0"}} 1' for lane in paused),
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def seen(folder: Path, *lanes: Lane, asked_seconds_ago: float = 3) -> list[Hands]:
    since = datetime.now(UTC) - timedelta(seconds=asked_seconds_ago)
    return list(hands(folder, lanes or tuple(Lane), since))


def test_one_that_hangs_with_mail_in_hands_is_awaited_until_it_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "hopmail-vm-0.prom"
    file = OwnFile(path)
    file.write(figures(LONG_AGO, 2, *Lane))

    assert seen(tmp_path) == [Hands("vm-0", 4, has_obeyed=False)]

    written = path.read_bytes()
    file.remove()
    path.write_bytes(written)
    assert seen(tmp_path) == [], "without a lock: of an earlier version"
    os.close(os.open(path.with_suffix(LOCK), os.O_CREAT))
    assert seen(tmp_path) == [], "its lock is free"


@pytest.mark.parametrize(
    ("paused", "lanes", "mails", "has_obeyed"),
    [
        ((), (Lane.BULK,), 1, False),
        ((Lane.BULK,), (Lane.BULK,), 1, True),
        ((Lane.BULK,), tuple(Lane), 2, False),
        (tuple(Lane), tuple(Lane), 2, True),
    ],
)
def test_it_has_obeyed_once_it_tells_that_all_the_lanes_are_paused(
    tmp_path: Path, paused: tuple[Lane, ...], lanes: tuple[Lane, ...], mails: int, has_obeyed: bool
) -> None:
    OwnFile(tmp_path / "hopmail-vm-0.prom").write(figures(timedelta(), 1, *paused))

    assert seen(tmp_path, *lanes) == [Hands("vm-0", mails, has_obeyed=has_obeyed)]


def test_what_it_wrote_before_it_can_have_known_tells_nothing(tmp_path: Path) -> None:
    OwnFile(tmp_path / "hopmail-vm-0.prom").write(figures(timedelta(), 0, *Lane))

    assert seen(tmp_path, asked_seconds_ago=0) == [Hands("vm-0", 0, has_obeyed=False)]
    assert seen(tmp_path) == [Hands("vm-0", 0, has_obeyed=True)]


def test_where_no_worker_has_begun_nobody_has_any(tmp_path: Path) -> None:
    assert seen(tmp_path / "none") == []
