"""`hopmail deadletters edit`: mended, sent under a new id, and never lost on the way."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from consumer.core.topology import DEAD_QUEUE, lane_queue
from publisher_lib.routing import Lane
from tests.cli.command import ROOT, environment, hopmail
from tests.support.broker import Message, VirtualHost
from tests.support.consumer_process import consuming, wait_until
from tests.support.dead_letters import bury, dead_letter, email, lying
from tests.support.smtp_sink import smtp_sink

NOWHERE = "smtp://127.0.0.1:9?tls=none"
LANE = lane_queue(Lane.TRANSACTIONAL)
BODY = email("ada@example.org", "bob@exmaple.org")


@pytest.fixture
def buried(vhost: VirtualHost) -> VirtualHost:
    """A virtual host where `m-1` waits for bob, whose address is wrong; ada has got it."""
    vhost.declare_topology()
    bury(
        vhost,
        dead_letter("m-0"),
        dead_letter("m-1", to=("bob@exmaple.org",), body=BODY),
        dead_letter("m-2"),
    )
    return vhost


def edit(vhost: VirtualHost, *arguments: str, editor: str = "") -> tuple[int, str, str]:
    settings = environment(amqp_url=vhost.url, smtp_url=NOWHERE)
    settings.pop("VISUAL", None)
    ended = subprocess.run(
        [sys.executable, "-m", "consumer", "deadletters", "edit", *arguments],
        cwd=ROOT,
        env=settings | {"EDITOR": editor},
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout, ended.stderr


def copy(vhost: VirtualHost) -> Message:
    (found,) = vhost.take_all(LANE)
    return found


def test_set_mends_a_field_and_only_who_has_not_got_it_gets_it(
    buried: VirtualHost, tmp_path: Path
) -> None:
    mended = 'email_to=["ada@example.org", "bob@example.org"]'

    code, said, wrong = edit(buried, "m-1", "--set", mended, "--yes")

    assert code == 0, wrong
    assert "✓ given to the lane transactional as edited-" in said
    assert "of m-1 is resolved" in said
    with smtp_sink(tmp_path) as sink, consuming(buried.url, sink.url) as consumer:
        wait_until(lambda: consumer.events("handled"), what="the mail")
        (handled,) = consumer.events("handled")
        assert (handled["outcome"], handled["recipients"]) == ("accepted", 1)
        assert handled["to"] == ["b***@example.org"]
    assert lying(buried) == ["m-0", "m-2"]


def test_the_copy_is_signed_by_who_edits(buried: VirtualHost) -> None:
    edit(buried, "m-1", "--set", "subject=Mended", "--yes")

    found = copy(buried)
    assert found.properties.user_id == f"hopmail-{buried.name}"
    assert found.headers["x-hopmail-login"] == f"hopmail-{buried.name}"
    assert found.headers["x-hopmail-pending"] == ["bob@exmaple.org"]
    assert json.loads(found.body) == json.loads(BODY) | {"subject": "Mended"}


def test_from_a_file(buried: VirtualHost, tmp_path: Path) -> None:
    file = tmp_path / "mended.json"
    file.write_bytes(email("zoe@example.org"))

    assert edit(buried, "m-1", "--from-file", str(file), "--yes")[0] == 0

    assert copy(buried).body == file.read_bytes()
    assert lying(buried) == ["m-0", "m-2"]


def test_in_an_editor(buried: VirtualHost) -> None:
    code, _said, wrong = edit(buried, "m-1", "--yes", editor="sed -i s/exmaple/example/")

    assert code == 0, wrong
    assert json.loads(copy(buried).body)["email_to"][1] == "bob@example.org"
    assert lying(buried) == ["m-0", "m-2"]


def test_what_breaks_the_contract_is_told_field_by_field_and_kept(buried: VirtualHost) -> None:
    code, _, said = edit(buried, "m-1", "--yes", editor="sed -i s/subject/sbject/")

    lines = said.splitlines()
    assert code == 1
    assert "✗ /subject is required" in lines
    assert any(line.startswith("✗ /sbject is no field of the contract; known") for line in lines)
    assert lines[-2] == "✗ it is no email of the contract: nothing was sent"
    assert "sbject" in what_was_kept(lines)
    assert lying(buried) == ["m-0", "m-1", "m-2"]


def what_was_kept(lines: list[str]) -> str:
    kept = Path(lines[-1].split(" is in ")[1].partition(":")[0])
    assert kept.stat().st_mode & 0o777 == 0o600
    text = kept.read_text()
    kept.unlink()
    return text


def test_what_was_written_is_kept_until_it_is_sent(buried: VirtualHost) -> None:
    code, _, said = edit(buried, "m-1", editor="sed -i s/Hello/Mended/")

    assert code == 1
    assert said.startswith("✗ nobody can be asked here: say --yes\n")
    assert "Mended" in what_was_kept(said.splitlines())
    assert lying(buried) == ["m-0", "m-1", "m-2"]


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (["m-9", "--set", "subject=x"], "no dead letter has the id m-9"),
        (["m-1", "--set", "subject=Hi"], "nothing was changed"),
        (["m-1", "--set", "subject"], "--set takes FIELD=VALUE"),
        (["m-1", "--set", 'email_to=["ada@example.org"]'], "has got it already"),
        (["m-1", "--from-file", "/nowhere"], "/nowhere cannot be read"),
        (["m-1"], "set EDITOR"),
        (["m-1", "--set", "subject=x"], "say --yes"),
    ],
)
def test_whatever_goes_wrong_the_dead_letter_stays(
    buried: VirtualHost, arguments: list[str], wrong: str
) -> None:
    yes = [] if wrong == "say --yes" else ["--yes"]

    code, _, said = edit(buried, *arguments, *yes)

    assert code == 1
    assert wrong in said
    assert lying(buried) == ["m-0", "m-1", "m-2"]


def test_of_several_of_one_message_one_must_be_named(buried: VirtualHost) -> None:
    bury(buried, dead_letter("m-1", to=("ada@example.org",), body=BODY))

    code, _, said = edit(buried, "m-1", "--set", "subject=x", "--yes")

    assert code == 1
    assert "left 2 dead letters: name one of " in said
    one = said.split("name one of ")[1].split(",")[0]
    assert edit(buried, one, "--set", "subject=x", "--yes")[0] == 0


DIES = """
import os, signal
from consumer.amqp.dead_letters import DeadLetters
DeadLetters.ack = lambda *_arguments: os.kill(os.getpid(), signal.SIGKILL)
from consumer.__main__ import main
main()
"""


def test_killed_before_the_ack_and_edited_again_it_is_sent_once(
    buried: VirtualHost, tmp_path: Path
) -> None:
    change = ("edit", "m-1", "--set", "subject=Mended", "--yes")
    ended = subprocess.run(
        [sys.executable, "-c", DIES, "deadletters", *change],
        cwd=ROOT,
        env=environment(amqp_url=buried.url, smtp_url=NOWHERE),
        capture_output=True,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    buried.wait_for_depth(DEAD_QUEUE, 3)

    again = hopmail("deadletters", *change, amqp_url=buried.url, smtp_url=NOWHERE)

    assert again.returncode == 0
    with smtp_sink(tmp_path) as sink, consuming(buried.url, sink.url) as consumer:
        wait_until(lambda: len(consumer.events("handled")) == 2, what="both copies")
        assert sink.count() == 1
    assert lying(buried) == ["m-0", "m-2"]
