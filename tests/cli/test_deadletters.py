"""`hopmail deadletters resolve`: a person's word on what nobody could know."""

import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from consumer.core.ledger import State
from consumer.core.topology import DEAD_KEY, DEAD_QUEUE, lane_queue
from publisher_lib.routing import DEAD_EXCHANGE, Lane
from tests.cli.command import ROOT, environment, hopmail
from tests.support.broker import Message, VirtualHost
from tests.support.consumer_process import consuming, state_folder, wait_until
from tests.support.smtp_script import Rule, hang_up, say
from tests.support.smtp_server import smtp_server
from tests.support.smtp_sink import smtp_sink

QUEUE = lane_queue(Lane.TRANSACTIONAL)
NOWHERE = "smtp://127.0.0.1:9?tls=none"
EMAIL = json.dumps(
    {
        "email_to": ["ada@example.org", "bob@example.org"],
        "email_from": "app@example.org",
        "subject": "Hi",
        "message": {"text": "Hello"},
        "if_uncertain": "hold",
    }
).encode()


@pytest.fixture
def held(vhost: VirtualHost) -> VirtualHost:
    """A virtual host with a mail `m-1` that is in doubt among other dead letters."""
    with smtp_server({"END_OF_DATA": hang_up()}) as server, consuming(vhost.url, server.url):
        vhost.publish_raw(b"{}", message_id="before")
        vhost.publish_raw(EMAIL, message_id="m-1")
        vhost.publish_raw(b"{}", message_id="after")
        wait_until(lambda: vhost.queue_depth(DEAD_QUEUE) == 3, what="the dead letters")
        # The consumer is killed at the end, and would leave what it has not acked.
        wait_until(lambda: vhost.unsettled(QUEUE) == 0, what="the acks")
    return vhost


@pytest.fixture
def held_later(vhost: VirtualHost) -> VirtualHost:
    """A virtual host with a mail `m-1` that was deferred once and then is in doubt."""
    rules: dict[str, Rule] = {"MAIL": [say("451 4.7.1 later")], "END_OF_DATA": hang_up()}
    with smtp_server(rules) as server, consuming(vhost.url, server.url):
        vhost.publish_raw(EMAIL, message_id="m-1")
        wait_until(lambda: vhost.queue_depth(DEAD_QUEUE) == 1, what="the dead letter")
        wait_until(lambda: vhost.unsettled(QUEUE) == 0, what="the ack")
    return vhost


DIES = """
import os, signal
from {module} import {name}
{name}.{method} = lambda *_arguments: os.kill(os.getpid(), signal.SIGKILL)
from consumer.__main__ import main
main()
"""


def die_in(vhost: VirtualHost, place: tuple[str, str, str], word: str) -> None:
    """Resolve `m-1` in a process that is killed as it gets to a method."""
    script = DIES.format(module=place[0], name=place[1], method=place[2])
    ended = subprocess.run(
        [sys.executable, "-c", script, "deadletters", "resolve", "m-1", word],
        cwd=ROOT,
        env=environment(amqp_url=vhost.url, smtp_url=NOWHERE),
        capture_output=True,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def resolve(vhost: VirtualHost, *arguments: str) -> tuple[int, str]:
    ended = hopmail("deadletters", "resolve", *arguments, amqp_url=vhost.url, smtp_url=NOWHERE)
    return ended.returncode, ended.stdout + ended.stderr


def dead(vhost: VirtualHost) -> set[str]:
    return {letter.properties.message_id for letter in vhost.take_all(DEAD_QUEUE)}


def states(vhost: VirtualHost) -> set[tuple[str, int]]:
    with closing(sqlite3.connect(state_folder(vhost.url) / "ledger.sqlite3")) as ledger:
        return set(ledger.execute("SELECT recipient, state FROM recipient"))


def test_sent_is_noted_and_no_copy_goes_out_any_more(held: VirtualHost, tmp_path: Path) -> None:
    assert resolve(held, "m-1", "--sent") == (0, "✓ m-1: taken as sent to 2 recipients\n")

    assert states(held) == {
        ("ada@example.org", State.ACCEPTED),
        ("bob@example.org", State.ACCEPTED),
    }
    with smtp_sink(tmp_path) as sink, consuming(held.url, sink.url) as process:
        held.publish_raw(EMAIL, message_id="m-1")
        wait_until(lambda: process.handled("m-1"), what="the copy")
        assert process.handled("m-1")[0]["outcome"] == "duplicate"
        assert sink.count() == 0
    assert dead(held) == {"before", "after"}


def put_back(vhost: VirtualHost, letter: Message, user: str) -> None:
    """Have a login write a dead letter into the queue, as it was."""
    vhost.publish_raw(
        letter.body,
        exchange="email.dead",
        lane="dead",
        url=vhost.url_for(user),
        user_id=user,
        message_id=letter.properties.message_id,
        headers=letter.headers,
    )


def test_sent_may_be_said_again(held: VirtualHost) -> None:
    """As after an end between the ledger's commit and the ack."""
    letters = held.take_all(DEAD_QUEUE)
    for letter in letters * 2:
        put_back(held, letter, f"hopmail-{held.name}")

    code, said = resolve(held, "m-1", "--sent")

    assert (code, said.count("taken as sent")) == (0, 2)
    assert dead(held) == {"before", "after"}


@pytest.mark.parametrize("word", ["--sent", "--resend"])
def test_headers_that_nobody_vouches_for_are_not_acted_upon(held: VirtualHost, word: str) -> None:
    for letter in held.take_all(DEAD_QUEUE):
        put_back(held, letter, f"webapp-{held.name}")

    code, said = resolve(held, "m-1", word)

    assert code == 1
    assert f"written by the login 'webapp-{held.name}'" in said
    assert "HOPMAIL_OPERATOR_LOGINS" in said
    assert dead(held) == {"before", "m-1", "after"}


def test_resend_sends_it_once_more(held: VirtualHost, tmp_path: Path) -> None:
    assert resolve(held, "m-1", "--resend") == (0, "✓ m-1: given back to be sent to 2 recipients\n")

    assert held.queue_depth(QUEUE) == 1
    with smtp_sink(tmp_path) as sink, consuming(held.url, sink.url) as process:
        wait_until(lambda: process.handled("m-1"), what="the mail")
        assert process.handled("m-1")[0]["outcome"] == "accepted"
        assert process.handled("m-1")[0]["attempt"] == 1
        assert sink.count() == 1
    assert dead(held) == {"before", "after"}


def test_resend_after_a_killed_sent_sends_it(held_later: VirtualHost, tmp_path: Path) -> None:
    die_in(held_later, ("consumer.ledger.ledger", "Ledger", "end"), "--sent")

    code, _said = resolve(held_later, "m-1", "--resend")

    assert code == 0
    with smtp_sink(tmp_path) as sink, consuming(held_later.url, sink.url) as process:
        wait_until(lambda: process.handled("m-1"), what="the mail")
        assert process.handled("m-1")[0]["outcome"] == "accepted"
        assert sink.count() == 1
    assert dead(held_later) == set()


def test_killed_before_it_is_published_a_dead_letter_stays(held: VirtualHost) -> None:
    die_in(held, ("publisher_lib.confirms", "ConfirmedPublisher", "submit"), "--resend")

    assert held.queue_depth(QUEUE) == 0
    assert dead(held) == {"before", "m-1", "after"}


def test_sent_says_of_whom_a_later_copy_is_under_way(held: VirtualHost) -> None:
    """As when a resend was killed between its confirm and the ack."""
    with closing(sqlite3.connect(state_folder(held.url) / "ledger.sqlite3")) as ledger:
        ledger.execute(
            "UPDATE recipient SET epoch = 1, attempt = 2, state = ? WHERE recipient LIKE 'bob@%'",
            (State.OPEN,),
        )
        ledger.commit()

    code, said = resolve(held, "m-1", "--sent")

    assert code == 0
    assert said.splitlines() == [
        "✓ m-1: taken as sent to 2 recipients",
        "  to 1 of them a later copy is under way all the same",
    ]


def test_of_two_apps_with_the_same_id_one_must_be_named(held: VirtualHost) -> None:
    app = f"webapp-{held.name}"
    with smtp_server({"END_OF_DATA": hang_up()}) as server, consuming(held.url, server.url):
        held.publish_raw(EMAIL, message_id="m-1", url=held.app_url, user_id=app)
        wait_until(lambda: held.queue_depth(DEAD_QUEUE) == 4, what="the other dead letter")

    assert resolve(held, "m-1", "--sent") == (
        1,
        f"✗ dead letters with this id are of '', '{app}': say which by --login\n",
    )
    code, _said = resolve(held, "m-1", "--sent", "--login", "shop")
    assert code == 1
    code, _said = resolve(held, "m-1", "--sent", "--login", app)
    assert code == 0
    assert states(held) == {
        (name, state)
        for name in ("ada@example.org", "bob@example.org")
        for state in (State.ACCEPTED, State.HELD)
    }
    assert dead(held) == {"before", "m-1", "after"}


@pytest.mark.parametrize("word", ["--sent", "--resend"])
def test_what_is_not_in_doubt_is_left_alone(held: VirtualHost, word: str) -> None:
    held.publish_raw(b"{}", exchange=DEAD_EXCHANGE, lane=DEAD_KEY, message_id="strange")
    for name, others in (
        ("before", "; one has the reason `invalid`"),
        ("strange", "; one has the reason `unknown`"),
        ("m-2", ""),
    ):
        code, said = resolve(held, name, word)
        assert code == 1
        assert said == f"✗ no dead letter `in_doubt` has the message id '{name}'{others}\n"

    assert dead(held) == {"before", "m-1", "after", "strange"}


@pytest.mark.parametrize("words", [(), ("--sent", "--resend")])
def test_one_of_the_two_must_be_said(vhost: VirtualHost, words: tuple[str, ...]) -> None:
    code, said = resolve(vhost, "m-1", *words)

    assert code == 2
    assert "say either --sent or --resend" in said


def test_a_ledger_that_cannot_be_written_keeps_the_dead_letter(held: VirtualHost) -> None:
    ended = hopmail(
        "deadletters",
        "resolve",
        "m-1",
        "--sent",
        amqp_url=held.url,
        smtp_url=NOWHERE,
        ledger_url="sqlite:///proc/nowhere/ledger.sqlite3",
    )

    assert ended.returncode == 1
    assert "HOPMAIL_LEDGER_URL: /proc/nowhere cannot be written" in ended.stderr
    assert dead(held) == {"before", "m-1", "after"}


def test_a_ledger_that_is_away_is_one_line_and_keeps_the_dead_letter(held: VirtualHost) -> None:
    ended = hopmail(
        "deadletters",
        "resolve",
        "m-1",
        "--sent",
        amqp_url=held.url,
        smtp_url=NOWHERE,
        ledger_url="redis://127.0.0.1:1/0",
    )

    assert ended.returncode == 1
    (line,) = (ended.stdout + ended.stderr).splitlines()
    assert line.startswith("✗ ledger: Redis: ")
    assert line.endswith("; the dead letter is untouched")
    assert dead(held) == {"before", "m-1", "after"}
