"""`hopmail deadletters list`, `show`, `purge`: seen, and removed only when that is meant."""

import json
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from consumer.cli.deadletters.wording import plain_lines
from consumer.core.disposition import Reason
from consumer.core.topology import DEAD_QUEUE
from publisher_lib.routing import Lane
from tests.cli.command import ROOT, environment, hopmail
from tests.support.broker import VirtualHost
from tests.support.dead_letters import bury, dead_letter, lying, many

NOWHERE = "smtp://127.0.0.1:9?tls=none"


def run(vhost: VirtualHost, *arguments: str) -> tuple[int, str, str]:
    ended = hopmail("deadletters", *arguments, amqp_url=vhost.url, smtp_url=NOWHERE)
    return ended.returncode, ended.stdout, ended.stderr


@pytest.fixture
def buried(vhost: VirtualHost) -> VirtualHost:
    """A virtual host with five dead letters of all kinds."""
    vhost.declare_topology()
    day = timedelta(days=1)
    bury(
        vhost,
        dead_letter("m-1", to=("ada@example.org", "bob@example.com"), age=3 * day),
        dead_letter("m-2", Reason.ATTEMPTS_EXHAUSTED, attempt=8, login="blog"),
        dead_letter("m-3", lane=Lane.BULK, to=("carl@example.com",)),
        dead_letter("m-4", Reason.INVALID, to=(), body=b'{"email_to": "\x1b[31m"}'),
    )
    vhost.publish_raw(b"\xff", exchange="email.dead", lane="dead", message_id="m-\x1b[31m5")
    return vhost


def test_an_empty_queue_is_told(vhost: VirtualHost) -> None:
    vhost.declare_topology()

    assert run(vhost, "list") == (0, "0 dead letters\n", "")


def test_they_are_counted_and_the_newest_shown(buried: VirtualHost) -> None:
    code, said, _ = run(buried, "list", "--limit", "3")

    assert code == 0
    lines = [line.split() for line in said.splitlines()]
    assert lines[0] == ["5", "dead", "letters"]
    assert ["refused", "transactional", "1", "3d"] in lines
    assert ["refused", "bulk", "1", "1h"] in lines
    assert ["unknown", "transactional", "1", "?"] in lines
    assert "the newest 3:" in said
    assert lines[-3][1:] == ["1h", "refused", "m-3", "1", "at", "example.com", "bulk"]
    assert "\x1b" not in said
    assert run(buried, "list", "--limit", "0")[1].count("\n") == 8


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ([], ["m-1", "m-2", "m-3", "m-4", "m-\x1b[31m5"]),
        (["m-2", "m-4"], ["m-2", "m-4"]),
        (["--reason", "refused"], ["m-1", "m-3"]),
        (["--reason", "refused", "--reason", "invalid"], ["m-1", "m-3", "m-4"]),
        (["--reason", "unknown"], ["m-\x1b[31m5"]),
        (["--lane", "bulk"], ["m-3"]),
        (["--domain", "Example.com"], ["m-1", "m-3"]),
        (["--login", "blog"], ["m-2"]),
        (["--older-than", "1d"], ["m-1"]),
        (["--reason", "refused", "--older-than", "5d"], []),
    ],
)
def test_json_tells_those_that_are_meant_a_line_each(
    buried: VirtualHost, options: list[str], ids: list[str]
) -> None:
    code, said, _ = run(buried, "list", "--json", *options)

    assert code == 0
    assert [json.loads(line)["message_id"] for line in said.splitlines()] == ids


def test_no_id_is_cut_off_whatever_the_terminal_has_room_for(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    message_id = "shop-01a224ad-750b-7725-95b6-c1573e0d5d1a-and-the-rest-of-a-long-one"
    bury(vhost, dead_letter(message_id, Reason.ATTEMPTS_EXHAUSTED), signer=None)

    said = run(vhost, "list")[1]

    assert f" attempts_exhausted (not trusted)   {message_id}   " in said
    assert "…" not in said


def test_counted_by_domain_one_counts_in_each(buried: VirtualHost) -> None:
    said = run(buried, "list", "--by", "domain,age", "--limit", "0", "--reason", "refused")[1]

    lines = [line.split() for line in said.splitlines()]
    assert lines[0] == ["2", "dead", "letters", "of", "5"]
    assert ["example.com", "under", "1d", "1", "1h"] in lines
    assert ["example.com", "under", "7d", "1", "3d"] in lines
    assert ["example.org", "under", "7d", "1", "3d"] in lines


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        (["--by", "colour"], "--by 'colour' is none of reason, lane, domain, age, login"),
        (["--reason", "odd"], "there is no reason 'odd': use one of invalid, invalid_json"),
        (["--older-than", "soon"], "--older-than: a duration is a whole number"),
    ],
)
def test_a_wrong_option_is_told_with_what_is_right(
    vhost: VirtualHost, options: list[str], wrong: str
) -> None:
    code, _, said = run(vhost, "list", *options)

    assert code == 2
    assert wrong in " ".join(said.replace("│", " ").split())


def test_show_tells_all_that_is_known_and_the_body_only_when_asked(buried: VirtualHost) -> None:
    code, said, _ = run(buried, "show", "m-1")

    assert code == 0
    told = {line[:18].strip(): line[18:] for line in said.splitlines() if line[:18].strip()}
    assert told["message id"] == "m-1"
    assert "RCPT 550 5.1.1 nobody here" in said
    assert told["dead since"].endswith("UTC, 3d ago")
    assert told["by"] == "login 'shop', app 'shop'"
    assert told["owed to"] == "ada@example.org, bob@example.com"
    assert "Hello" not in said
    assert '"text": "Hello"' in run(buried, "show", told["id"], "--body")[1]
    assert (
        '{"email_to": "\N{REPLACEMENT CHARACTER}[31m"}' in run(buried, "show", "m-4", "--body")[1]
    )


def test_on_a_terminal_a_body_moves_no_cursor() -> None:
    shown = plain_lines("\x1b]0;title\x07\ttext\x9b2J\r\nnext").replace(
        "\N{REPLACEMENT CHARACTER}", "?"
    )

    assert shown == "?]0;title?  text?2J\nnext"


def test_show_json_is_a_list_for_one_message_may_leave_several(buried: VirtualHost) -> None:
    bury(buried, dead_letter("m-1", Reason.IN_DOUBT, to=("zoe@example.net",)))

    shown = json.loads(run(buried, "show", "m-1", "--json")[1])
    assert [each["reason"] for each in shown] == ["refused", "in_doubt"]
    shown = json.loads(run(buried, "show", "m-1", "m-\x1b[31m5", "--json", "--body")[1])
    assert json.loads(shown[0]["body"])["subject"] == "Hi"
    assert shown[1]["body_base64"] == "/w=="


def test_show_of_none_is_an_error(buried: VirtualHost) -> None:
    code, _, said = run(buried, "show", "m-9")

    assert (code, said) == (1, "✗ no dead letter has the id m-9: see `list`\n")


def test_purge_asks_and_removes_what_is_meant_alone(buried: VirtualHost) -> None:
    code, said, wrong = run(buried, "purge", "--reason", "refused")
    assert code == 1
    assert "1 refused, dead under 1d" in said
    assert "say --yes" in wrong
    code, said, _ = run(buried, "purge", "--reason", "refused", "--dry-run")
    assert (code, said.splitlines()[-1]) == (0, "2 dead letters would be removed; nothing was done")
    assert buried.queue_depth(DEAD_QUEUE) == 5

    code, said, _ = run(buried, "purge", "--reason", "refused", "--yes")

    assert code == 0
    assert said.endswith("✓ 2 dead letters removed\n")
    assert lying(buried) == ["m-2", "m-4", "m-\x1b[31m5"]


def test_of_two_that_share_an_id_the_one_that_was_shown_is_removed(vhost: VirtualHost) -> None:
    """As of a message that was published to both lanes, and expired there in the same second."""
    vhost.declare_topology()
    message_id, headers, body = dead_letter("m-1")
    bury(
        vhost, (message_id, headers, body), (message_id, headers | {"x-hopmail-lane": "bulk"}, body)
    )

    assert run(vhost, "purge", "--lane", "bulk", "--yes")[1].endswith("✓ 1 dead letter removed\n")

    (left,) = vhost.take_all(DEAD_QUEUE)
    assert left.headers["x-hopmail-lane"] == "transactional"


DIES = """
import os, signal
from consumer.amqp.dead_letters import DeadLetters
ack, acked = DeadLetters.ack, []
def dies(self, delivery):
    ack(self, delivery)
    acked.append(delivery)
    if len(acked) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
DeadLetters.ack = dies
from consumer.__main__ import main
main()
"""


def test_a_purge_that_is_killed_takes_nothing_that_was_not_meant(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    bury(vhost, *many(10))

    ended = subprocess.run(
        [sys.executable, "-c", DIES, "deadletters", "purge", "--reason", "refused", "--yes"],
        cwd=ROOT,
        env=environment(amqp_url=vhost.url, smtp_url=NOWHERE),
        capture_output=True,
        check=False,
    )

    assert ended.returncode == -signal.SIGKILL, ended.stderr
    vhost.wait_for_depth(DEAD_QUEUE, 8)
    assert set(lying(vhost)) == {f"m-{number}" for number in range(10)} - {"m-0", "m-2"}


def test_what_acts_tells_scripts_what_it_did(buried: VirtualHost, tmp_path: Path) -> None:
    """As one object each; whoever wants that cannot be asked."""
    file = str(tmp_path / "dead.jsonl")
    assert run(buried, "export", file)[0] == 0
    refused = ("--reason", "refused", "--json")

    def told(*arguments: str) -> Any:
        code, said, wrong = run(buried, *arguments)
        assert code == 0, wrong
        return json.loads(said)

    assert run(buried, "purge", *refused) == (1, "", "✗ --json asks nobody: say --yes too\n")
    assert run(buried, "replay", *refused) == (1, "", "✗ --json asks nobody: say --yes too\n")
    assert told("purge", *refused, "--dry-run") == {"removed": 0, "left": 2}
    assert told("replay", *refused, "--dry-run") == {
        "replayed": 0,
        "left": 2,
        "not_sent_again": {},
    }
    assert told("edit", "m-3", "--set", "subject=Anew", "--yes", "--json").keys() == {
        "message_id",
        "lane",
        "resolved",
    }
    assert told("replay", *refused, "--yes") == {"replayed": 1, "left": 0, "not_sent_again": {}}
    assert told("replay", *refused, "--yes") == {"replayed": 0, "left": 0, "not_sent_again": {}}
    assert told("import", file, "--json") == {"imported": 2, "there_already": 3}
    assert told("purge", *refused, "--yes") == {"removed": 2, "left": 0}
    assert told("purge", *refused, "--yes") == {"removed": 0, "left": 0}


def test_purge_needs_to_be_told_what_or_that_all_is_meant(buried: VirtualHost) -> None:
    assert run(buried, "purge", "--yes")[0] == 2
    assert run(buried, "purge", "m-1", "--all", "--yes")[0] == 2
    assert run(buried, "purge", "m-9", "--yes")[0] == 1
    nothing = (0, "✓ no dead letter matches: nothing to do\n", "")
    assert run(buried, "purge", "--older-than", "90d", "--yes") == nothing, "as from a timer"
    assert run(buried, "replay", "--older-than", "90d", "--yes") == nothing
    assert buried.queue_depth(DEAD_QUEUE) == 5

    assert run(buried, "purge", "--all", "--yes")[0] == 0
    assert lying(buried) == []


def test_without_the_queue_the_cure_is_told(vhost: VirtualHost) -> None:
    code, _, said = run(vhost, "list")

    assert code == 1
    assert "run `hopmail topology apply`" in said
