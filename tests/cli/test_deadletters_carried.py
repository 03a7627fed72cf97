"""`hopmail deadletters export` and `import`: out of the queue and in again, each once."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from consumer.core.disposition import Reason
from consumer.core.topology import DEAD_QUEUE
from publisher_lib.routing import Lane
from tests.cli.command import ROOT, environment, hopmail
from tests.support.broker import VirtualHost
from tests.support.dead_letters import bury, dead_letter, email, lying, many

NOWHERE = "smtp://127.0.0.1:9?tls=none"
HOPMAIL = [sys.executable, "-m", "consumer", "deadletters"]
IDS = ["m-1", "m-1", "m-2", "m-3", "m-4"]


def run(vhost: VirtualHost, *arguments: str) -> tuple[int, str, str]:
    ended = hopmail("deadletters", *arguments, amqp_url=vhost.url, smtp_url=NOWHERE)
    return ended.returncode, ended.stdout, ended.stderr


def listed(vhost: VirtualHost) -> list[dict[str, object]]:
    code, said, wrong = run(vhost, "list", "--json")
    assert (code, wrong) == (0, "")
    return [json.loads(line) for line in said.splitlines()]


@pytest.fixture
def file(vhost: VirtualHost, tmp_path: Path) -> Path:
    """An export of five dead letters, two of them of one message; they still lie there."""
    vhost.declare_topology()
    app = f"webapp-{vhost.name}"
    bury(
        vhost,
        dead_letter("m-1", to=("ada@example.org",)),
        dead_letter("m-1", Reason.ATTEMPTS_EXHAUSTED, to=("bob@example.org",), attempt=8),
        dead_letter("m-2", Reason.INVALID, to=(), body=b"\xff\x00"),
    )
    vhost.publish_raw(
        email(), lane=Lane.BULK, message_id="m-3", url=vhost.app_url, user_id=app, expiration="1"
    )
    vhost.wait_for_depth(DEAD_QUEUE, 4)
    bury(vhost, dead_letter("m-4"), signer=app)
    path = tmp_path / "dead.jsonl"
    assert run(vhost, "export", str(path)) == (0, "", "✓ 5 dead letters exported\n")
    return path


def test_an_export_changes_nothing_and_is_for_its_owner_s_eyes(
    vhost: VirtualHost, file: Path
) -> None:
    assert file.stat().st_mode & 0o777 == 0o600
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["message_id"] for line in lines] == IDS
    assert json.loads(lines[0]["body"])["subject"] == "Hi"
    assert lying(vhost) == IDS


def test_an_export_may_be_of_some_and_to_standard_output(vhost: VirtualHost, file: Path) -> None:
    code, said, _ = run(vhost, "export", "-", "--reason", "refused", "--login", "shop")

    assert code == 0
    all_of_them = [json.loads(line) for line in file.read_text().splitlines()]
    assert list(map(json.loads, said.splitlines())) == [all_of_them[0], all_of_them[4]]


def test_an_export_overwrites_nothing(vhost: VirtualHost, file: Path) -> None:
    before = file.read_bytes()

    code, _, said = run(vhost, "export", str(file))

    assert (code, said) == (1, f"✗ {file} exists: name a new file\n")
    assert file.read_bytes() == before
    assert run(vhost, "export", str(file.parent / "no" / "dead.jsonl"))[0] == 1


def test_imported_they_are_what_they_were(vhost: VirtualHost, file: Path) -> None:
    before = listed(vhost)
    vhost.purge(DEAD_QUEUE)

    assert run(vhost, "import", str(file)) == (0, "✓ 5 dead letters imported\n", "")

    after = listed(vhost)
    for each in (*before, *after):
        for name in ("signer", "deaths", "age_seconds"):
            each.pop(name, None)
    assert after == before


def test_what_lies_there_is_not_doubled_unless_that_is_said(vhost: VirtualHost, file: Path) -> None:
    assert run(vhost, "import", str(file)) == (
        0,
        "✓ 0 dead letters imported\n  5 lay in the queue already\n",
        "",
    )
    file.write_text(file.read_text() * 2)
    assert run(vhost, "import", str(file), "--again")[1] == "✓ 10 dead letters imported\n"
    assert lying(vhost) == IDS * 3


def test_a_damaged_line_is_named_and_nothing_imported(vhost: VirtualHost, file: Path) -> None:
    vhost.purge(DEAD_QUEUE)
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:2], lines[2][:-40], lines[3].replace("Hi", "Ho"), lines[4]]))

    code, said, wrong = run(vhost, "import", str(file))

    assert (code, said) == (1, "")
    assert wrong.splitlines()[0].startswith("✗ line 3: it is no JSON")
    assert wrong.splitlines()[1].startswith("✗ line 4: it was changed since it was exported")
    assert wrong.splitlines()[2] == "✗ 2 lines of 5 damaged; nothing was imported"
    assert lying(vhost) == []


def test_a_file_that_is_not_there_is_told(vhost: VirtualHost) -> None:
    code, _, said = run(vhost, "import", "/nowhere/dead.jsonl")

    assert (code, said) == (1, "✗ /nowhere/dead.jsonl cannot be read: No such file or directory\n")


DIES = """
import os, signal
from concurrent.futures import Future
from consumer.cli.deadletters.confirmed import Confirmed
put = Confirmed.put
def dies(self, delivery, confirm):
    confirm.result()
    put(self, delivery, confirm)
    if self._open == 2:
        os.kill(os.getpid(), signal.SIGKILL)
Confirmed.put = dies
Confirmed._settle = lambda self: None
from consumer.__main__ import main
main()
"""


def test_killed_midway_an_import_is_finished_by_another(vhost: VirtualHost, file: Path) -> None:
    vhost.purge(DEAD_QUEUE)
    ended = subprocess.run(
        [sys.executable, "-c", DIES, "deadletters", "import", str(file)],
        cwd=ROOT,
        env=environment(amqp_url=vhost.url, smtp_url=NOWHERE),
        capture_output=True,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    vhost.wait_for_depth(DEAD_QUEUE, 2)

    assert run(vhost, "import", str(file))[1].startswith("✓ 3 dead letters imported\n")
    assert sorted(lying(vhost)) == sorted(IDS)


@pytest.mark.parametrize("source", ["-", "/dev/stdin"])
def test_from_a_pipe(vhost: VirtualHost, file: Path, source: str) -> None:
    vhost.purge(DEAD_QUEUE)
    ended = subprocess.run(
        [*HOPMAIL, "import", source],
        cwd=ROOT,
        env=environment(amqp_url=vhost.url, smtp_url=NOWHERE),
        input=file.read_bytes(),
        capture_output=True,
        check=False,
    )
    assert ended.stdout.decode() == "✓ 5 dead letters imported\n", ended.stderr
    assert lying(vhost) == IDS


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ('"$@" export - > /dev/full', "standard output cannot be written: No space left on device"),
        ('ulimit -f 1; "$@" export dead.jsonl', "dead.jsonl cannot be written: File too large"),
        ('"$@" export - | head -c 1 > one; exit "${PIPESTATUS[0]}"', ""),
    ],
)
def test_an_export_that_ends_early_is_one_line_and_leaves_nothing(
    vhost: VirtualHost, tmp_path: Path, command: str, said: str
) -> None:
    vhost.declare_topology()
    bury(vhost, *many(5, email(message={"text": "y" * 50_000})))

    ended = subprocess.run(
        ["bash", "-c", command, "bash", *HOPMAIL],
        cwd=tmp_path,
        env=environment(amqp_url=vhost.url, smtp_url=NOWHERE) | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (1, f"✗ {said}\n" if said else "")
    assert not list(tmp_path.glob("dead*"))
    assert lying(vhost) == [f"m-{number}" for number in range(5)]
