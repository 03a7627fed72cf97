"""`hopmail send`: published from the shell, or an error with its cure."""

import base64
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from consumer.core.topology import lane_queue
from publisher_lib.routing import Lane
from tests.cli.command import ROOT, environment
from tests.cli.inside import inside
from tests.support.broker import Message, VirtualHost

TO_ADA = ("--to", "Ada <ada@example.org>", "--from", "app@example.org", "--subject", "Hello")


def published(vhost: VirtualHost, lane: Lane = Lane.TRANSACTIONAL) -> tuple[Message, Any]:
    """Return the one message of a lane, and its body."""
    (message,) = vhost.take_all(lane_queue(lane))
    return message, json.loads(message.body)


def send(
    vhost: VirtualHost, *arguments: str, text: str | None = None
) -> "subprocess.CompletedProcess[str]":
    """Send with nothing set but the broker's URL."""
    return subprocess.run(
        [sys.executable, "-m", "consumer", "send", *arguments],
        cwd=ROOT,
        env=environment(amqp_url=vhost.url),
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_options_make_an_email_and_its_id_is_printed(vhost: VirtualHost, tmp_path: Path) -> None:
    vhost.declare_topology()
    (tmp_path / "hello.txt").write_text("attached")
    (tmp_path / "hello.html").write_text("<p>Héllo</p>")

    ended = send(
        vhost,
        *TO_ADA,
        *("--to", "grace@example.org", "--cc", "c@example.org", "--bcc", "b@example.org"),
        *("--reply-to", "r@example.org", "--header", "X-Shop: 42", "--text", "Hi"),
        *("--html-file", str(tmp_path / "hello.html"), "--attach", str(tmp_path / "hello.txt")),
        *("--send-at", "2h", "--expires-at", "2099-01-31T08:00:00Z", "--if-uncertain", "hold"),
        *("--lane", "bulk", "--message-id", "order-4711"),
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "order-4711\n", "")
    message, body = published(vhost, Lane.BULK)
    assert message.properties.message_id == "order-4711"
    assert message.properties.app_id == "hopmail send"
    in_two_hours = datetime.fromisoformat(body.pop("send_at")) - datetime.now(UTC)
    assert timedelta(minutes=115) < in_two_hours <= timedelta(hours=2)
    assert datetime.fromisoformat(body.pop("expires_at")).year == 2099
    assert body == {
        "email_to": ["Ada <ada@example.org>", "grace@example.org"],
        "email_from": "app@example.org",
        "subject": "Hello",
        "message": {"text": "Hi", "html": "<p>Héllo</p>"},
        "cc": ["c@example.org"],
        "bcc": ["b@example.org"],
        "reply_to": ["r@example.org"],
        "headers": {"X-Shop": "42"},
        "attachments": [
            {
                "filename": "hello.txt",
                "content_type": "text/plain",
                "content": base64.b64encode(b"attached").decode(),
            }
        ],
        "if_uncertain": "hold",
    }


def test_the_text_comes_from_stdin(vhost: VirtualHost) -> None:
    vhost.declare_topology()

    ended = send(vhost, *TO_ADA, "--json", "-", text="Disk full on mail-a\n")

    message, body = published(vhost)
    told = {"message_id": message.properties.message_id, "lane": "transactional"}
    assert json.loads(ended.stdout) == told
    assert body["message"] == {"text": "Disk full on mail-a\n"}


def test_a_whole_email_is_sent_as_it_is(vhost: VirtualHost, tmp_path: Path) -> None:
    vhost.declare_topology()
    email = {
        "email_to": ["ada@example.org"],
        "email_from": "app@example.org",
        "subject": "Hello",
        "message": {"text": "Hi"},
    }
    (tmp_path / "mail.json").write_text(json.dumps(email))

    ended = send(vhost, "--file", str(tmp_path / "mail.json"))

    message, body = published(vhost)
    assert ended.stdout.strip() == message.properties.message_id
    assert body == email


def test_a_breach_of_the_contract_is_told_by_option() -> None:
    ended = inside(
        *("send", "--to", "a@b.org", "--to", "ada", "--from", "x@y.org", "--text-file", "-"),
        *("--send-at", "tomorrow", "--cc", "c"),
        stdin="",
    )

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.splitlines() == [
        "✗ not published, the email breaks the contract: invalid",
        "  --to no. 2 must be addr@domain or Display Name <addr@domain>",
        "  --cc no. 1 must be addr@domain or Display Name <addr@domain>",
        "  --send-at must be a date and time with offset: 2026-11-24T12:00:00Z",
        "  --subject is required",
        '    → add --subject "Confirm your address"',
    ]


def test_a_breach_of_the_contract_in_a_file_is_told_as_validate_does() -> None:
    ended = inside("send", "--file", "-", stdin='{"email_to": "ada"}')

    assert (ended.returncode, ended.stdout) == (1, "")
    lines = ended.stderr.splitlines()
    assert lines[0] == "✗ not published, the email breaks the contract: invalid"
    assert '    → add "subject": "Confirm your address"' in lines


def test_a_message_id_that_is_none_is_told_by_its_option() -> None:
    ended = inside(*("send", *TO_ADA, "--text", "x", "--message-id", "a b"), amqp_url="amqp://h")

    assert ended.returncode == 1
    assert ended.stderr.startswith("✗ not published: --message-id must be 1 to 200 printable ASCII")


def test_without_a_topology_it_says_what_makes_it(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    with vhost.channel() as channel:
        channel.queue_unbind(lane_queue(Lane.BULK), "email", Lane.BULK)

    unroutable = send(vhost, *TO_ADA, "--text", "Hi", "--lane", "bulk")
    with vhost.channel() as channel:
        channel.exchange_delete("email")
    rejected = send(vhost, *TO_ADA, "--text", "Hi")

    for ended in (unroutable, rejected):
        assert ended.returncode == 1
        assert ended.stderr.startswith("✗ not published (message id ")
        assert "`hopmail topology apply`" in ended.stderr
        assert len(ended.stderr.splitlines()) == 1


def test_a_broker_that_is_away_is_told_without_its_password() -> None:
    ended = inside(
        *("send", *TO_ADA, "--text", "Hi", "--timeout", "1s"),
        amqp_url="amqp://user:hunter2@127.0.0.1:1/",
    )

    assert ended.returncode == 1
    assert ended.stderr.startswith("✗ not published (message id ")
    assert ended.stderr.count("not published") == 1
    assert "see `hopmail check`" in ended.stderr
    assert "hunter2" not in ended.stderr


def test_a_missing_broker_is_a_wrong_setting_and_a_missing_relay_is_not() -> None:
    ended = inside("send", *TO_ADA, "--text", "Hi")

    assert ended.returncode == 78
    (line,) = ended.stderr.splitlines()
    assert line.startswith("✗ HOPMAIL_AMQP_URL is missing.")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    for option in ("--text-file", "--attach", "--html-file"):
        ended = inside("send", *TO_ADA, option, str(tmp_path / "none"))

        assert ended.returncode == 1
        assert ended.stderr == f"✗ {tmp_path}/none: No such file or directory\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--file mail.json"),
        (("--file", "mail.json", "--to", "a@b.c"), "no option may add to it"),
        ((*TO_ADA, "Hello"), "as - from stdin"),
        ((*TO_ADA, "--text", "x", "-"), "do not go together"),
        ((*TO_ADA, "--text", "x", "--header", "X-Shop"), "NAME:VALUE"),
        ((*TO_ADA, "--header", "X-A: 1", "--header", "x-a: 2"), "--header x-a is given twice"),
        ((*TO_ADA, "--text", "caf\udce9"), "--text: it is not UTF-8"),
        ((*TO_ADA, "--subject", "\ud800"), "--subject: it is not UTF-8"),
        ((*TO_ADA, "--attach", "/dev/zero"), "--attach /dev/zero: it is no file"),
        ((*TO_ADA, "--text", "x", "--lane", "other"), "bulk"),
        ((*TO_ADA, "--text", "x", "--timeout", "1"), "a duration is"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: tuple[str, ...], said: str) -> None:
    ended = inside("send", *arguments, amqp_url="amqp://h")

    assert ended.returncode == 2
    assert said in " ".join(ended.stderr.replace("│", " ").split())
