"""`hopmail drain` by the figures of workers that stand still: nothing runs."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from consumer.ops.control import Control
from consumer.ops.own_file import OwnFile
from publisher_lib.routing import Lane
from tests.cli.inside import inside

FIGURES = """\
hopmail_heartbeat_timestamp_seconds{worker="vm-0"} %s
hopmail_in_flight{lane="bulk",worker="vm-0"} 1
"""


@pytest.fixture(autouse=True)
def worker(tmp_path: Path) -> OwnFile:
    """Return the file of a worker that has a mail in hands, and writes no more."""
    file = OwnFile(tmp_path / "hopmail-vm-0.prom")
    file.write((FIGURES % datetime.now(UTC).timestamp()).encode())
    return file


def drained(folder: Path) -> tuple[int, str]:
    ended = inside(
        *("drain", "--lane", "bulk", "--limit", "1s"),
        amqp_url="amqp://h",
        smtp_url="smtp://h",
        state_dir=folder,
        metrics_dir=folder,
    )
    return ended.returncode, ended.stderr


def test_at_the_limit_it_says_whom_it_waits_for(tmp_path: Path) -> None:
    code, said = drained(tmp_path)

    assert code == 1
    assert said == (
        "✗ after 1s: 1 mail is in hands; not yet heard of vm-0; it stays paused, until"
        " `hopmail resume --lane bulk`\n"
    )


def test_it_waits_no_longer_once_somebody_has_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resume(_seconds: float) -> None:
        Control(tmp_path).resume(Lane)

    monkeypatch.setattr("consumer.cli.drain.time.sleep", resume)

    code, said = drained(tmp_path)

    assert code == 1
    assert said == "✗ no longer paused: bulk; somebody ran `hopmail resume`\n"
