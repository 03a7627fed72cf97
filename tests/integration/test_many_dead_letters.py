"""Ten thousand dead letters: seen, exported, replayed, removed, and never all in memory."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from consumer.core.topology import DEAD_QUEUE, lane_queue
from publisher_lib.routing import Lane
from tests.cli.command import ROOT, environment
from tests.support.broker import VirtualHost
from tests.support.dead_letters import bury, email, lying, many

NOWHERE = "smtp://127.0.0.1:9?tls=none"
COUNT = 10_000
FEW = 100
BODY = email(subject="x" * 900, message={"text": "y" * 7000})
ROOM_BYTES = 40 * 1024 * 1024
"""Half of what the bodies are; what is held of a dead letter without its body is some hundred."""


@dataclass(frozen=True)
class Ended:
    """A command's output, and the most memory it ever had."""

    output: str
    peak_bytes: int


def run(vhost: VirtualHost, *arguments: str) -> Ended:
    with subprocess.Popen(
        [sys.executable, "-m", "consumer", "deadletters", *arguments],
        cwd=ROOT,
        env=environment(amqp_url=vhost.url, smtp_url=NOWHERE),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _pid, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, output
    return Ended(output, usage.ru_maxrss * 1024)


@pytest.mark.timeout(300)
def test_ten_thousand_are_handled_in_flat_memory(vhost: VirtualHost, tmp_path: Path) -> None:
    vhost.declare_topology()
    bury(vhost, *many(FEW, BODY))
    few = run(vhost, "list", "--json").peak_bytes
    vhost.purge(DEAD_QUEUE)
    bury(vhost, *many(COUNT, BODY))
    ids = [f"m-{number}" for number in range(COUNT)]
    file = tmp_path / "dead.jsonl"

    listed = run(vhost, "list", "--json")
    half = run(vhost, "list", "--reason", "refused")
    exported = run(vhost, "export", str(file))
    replayed = run(vhost, "replay", "--reason", "refused", "--yes")
    removed = run(vhost, "purge", "--all", "--yes")
    imported = run(vhost, "import", str(file))

    assert [json.loads(line)["message_id"] for line in listed.output.splitlines()] == ids
    assert half.output.startswith("5000 dead letters of 10000\n")
    with file.open() as lines:
        assert [json.loads(line)["message_id"] for line in lines] == ids
    assert "✓ 5000 dead letters given back to be sent\n" in replayed.output
    assert vhost.queue_depth(lane_queue(Lane.TRANSACTIONAL)) == COUNT // 2
    assert "✓ 5000 dead letters removed\n" in removed.output
    assert imported.output == "✓ 10000 dead letters imported\n"
    assert lying(vhost) == ids
    for ended in (listed, half, exported, replayed, removed, imported):
        assert ended.peak_bytes < few + ROOM_BYTES
