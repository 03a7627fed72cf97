import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dev.broker import private_node
from tests.dev.family import descendants, living
from tests.support.consumer_process import wait_until

ROOT = Path(__file__).parents[2]


def folders_of(pids: set[int]) -> set[Path]:
    """Return the data folders in which nodes among these processes work."""
    found = {Path(f"/proc/{pid}/cwd").resolve() for pid in pids}
    return {path for path in found if path.name.startswith("hopmail-broker-")}


@pytest.mark.timeout(120)
def test_a_node_leaves_no_process_and_no_file() -> None:
    before = descendants(os.getpid())
    with private_node() as node:
        started = descendants(os.getpid()) - before
        assert node.pid in started
        assert node.folder in folders_of(started)

    wait_until(lambda: not started & living().keys(), 20, "an end of every process")
    assert not node.folder.exists()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("moment", ["while the node starts", "while the command runs"])
def test_a_signal_ends_node_and_command(
    tmp_path: Path, number: signal.Signals, moment: str
) -> None:
    environment = {name: text for name, text in os.environ.items() if "HOPMAIL" not in name}
    reached = tmp_path / "reached"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "dev.broker", "exec", "--"),
            *("sh", "-c", f"touch {reached}; exec sleep 600"),
        ],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        if moment == "while the node starts":
            wait_until(lambda: folders_of(descendants(process.pid)), 30, "mapper and node")
        else:
            wait_until(reached.exists, 60, "the command")
        started = descendants(process.pid)
        folders = folders_of(started)
        process.send_signal(number)
        code = process.wait(60)
    finally:
        process.kill()
        process.wait()

    assert code == 128 + number
    assert folders
    wait_until(lambda: not started & living().keys(), 20, "an end of every process")
    assert not any(folder.exists() for folder in folders)
