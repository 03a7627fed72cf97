"""HOPMAIL_DEADLETTER_BODY: what dead letters tell, and how a sealed one is sent after all."""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from consumer.core.contract import MAX_BODY_BYTES
from consumer.core.disposition import Reason
from consumer.core.topology import DEAD_KEY, DEAD_QUEUE, lane_queue
from publisher_lib.routing import DEAD_EXCHANGE, Lane
from tests.cli.command import ROOT, environment, hopmail
from tests.support.broker import Message, VirtualHost
from tests.support.consumer_process import consuming, wait_until
from tests.support.dead_letters import bury, dead_letter
from tests.support.smtp_script import Rule, hang_up, say
from tests.support.smtp_server import smtp_server

QUEUE = lane_queue(Lane.TRANSACTIONAL)
NOWHERE = "smtp://127.0.0.1:9?tls=none"
TOKEN = "token-4711"
EMAIL = json.dumps(
    {
        "email_to": ["ada@example.org", "bob@example.org"],
        "email_from": "app@example.org",
        "subject": "Hi",
        "message": {"text": f"Go to https://example.org/?t={TOKEN}"},
        "if_uncertain": "hold",
    },
    indent=1,  # as no encoder of ours would write it
).encode()
QUOTING = (
    f"554 5.7.1 https://example.org/?t={TOKEN} for <ada@example.org> is listed, and so is {TOKEN}"
)


@dataclass
class Keys:
    """Those of one file, and the newest that seals."""

    file: Path
    seal: list[str] = field(default_factory=list)

    def make(self) -> None:
        ended = hopmail("deadletters", "keygen", str(self.file))
        assert ended.returncode == 0, ended.stderr
        self.seal.append(ended.stdout.strip().removeprefix("HOPMAIL_DEADLETTER_SEAL_KEY="))


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    made = Keys(tmp_path / "open.keys")
    made.make()
    return made


def die(vhost: VirtualHost, rules: dict[str, Rule], *bodies: bytes, **settings: object) -> None:
    """Have a consumer dead-letter messages, `m-1` and so on."""
    with smtp_server(rules) as server, consuming(vhost.url, server.url, **settings) as one:
        for number, body in enumerate(bodies, 1):
            vhost.publish_raw(body, message_id=f"m-{number}")
        wait_until(lambda: vhost.queue_depth(DEAD_QUEUE) == len(bodies), what="the dead letters")
        # Killed, it might leave the acks to another.
        assert one.terminate() == 0


def in_doubt(vhost: VirtualHost, *bodies: bytes, **settings: object) -> None:
    die(vhost, {"END_OF_DATA": hang_up()}, *(bodies or (EMAIL,)), **settings)


def sealing(keys: Keys) -> dict[str, object]:
    return {"deadletter_body": "encrypt", "deadletter_seal_key": keys.seal[-1]}


def resolve(vhost: VirtualHost, *arguments: str, **settings: object) -> tuple[int, str]:
    ended = hopmail(
        "deadletters", "resolve", *arguments, amqp_url=vhost.url, smtp_url=NOWHERE, **settings
    )
    return ended.returncode, ended.stdout + ended.stderr


def open_with(keys: Keys) -> dict[str, object]:
    return {"deadletter_open_keys_file": keys.file}


def put_back(vhost: VirtualHost, letter: Message, **changed: object) -> None:
    """Have the consumer's login write a dead letter into the queue, or elsewhere."""
    place = {
        "exchange": DEAD_EXCHANGE,
        "lane": DEAD_KEY,
        "message_id": letter.properties.message_id,
    }
    vhost.publish_raw(
        letter.body,
        url=vhost.url,
        user_id=f"hopmail-{vhost.name}",
        headers=letter.headers,
        **{**place, **changed},
    )


def test_kept_is_the_default_and_says_nothing(vhost: VirtualHost) -> None:
    in_doubt(vhost)

    (letter,) = vhost.take_all(DEAD_QUEUE)
    assert letter.body == EMAIL
    assert not [name for name in letter.headers if name.startswith("x-hopmail-body")]


def test_sealed_it_tells_neither_body_nor_what_the_relay_quoted(
    vhost: VirtualHost, keys: Keys
) -> None:
    die(vhost, {"END_OF_DATA": say(QUOTING)}, EMAIL, **sealing(keys))

    (letter,) = vhost.take_all(DEAD_QUEUE)
    assert TOKEN not in f"{letter.body!r} {letter.headers} {letter.properties}"
    assert letter.headers["x-hopmail-body"] == "encrypted"
    assert f"# {letter.headers['x-hopmail-body-key']}, made " in keys.file.read_text()
    assert letter.headers["x-hopmail-reason"] == "refused"
    assert letter.headers["x-hopmail-pending"] == ["ada@example.org", "bob@example.org"]
    assert letter.detail["code"] == 554


def test_resent_it_is_the_same_message_to_the_octet(vhost: VirtualHost, keys: Keys) -> None:
    in_doubt(vhost, **sealing(keys))

    code, said = resolve(vhost, "m-1", "--resend", **open_with(keys))

    assert (code, said) == (0, "✓ m-1: given back to be sent to 2 recipients\n")
    (copy,) = vhost.take_all(QUEUE)
    assert copy.body == EMAIL
    assert copy.properties.content_type == "application/json"
    assert not [name for name in copy.headers if name.startswith("x-hopmail-body")]
    assert vhost.queue_depth(DEAD_QUEUE) == 0


def test_resent_it_is_delivered_once_and_known_to_the_ledger(
    vhost: VirtualHost, keys: Keys
) -> None:
    in_doubt(vhost, **sealing(keys))
    (letter,) = vhost.take_all(DEAD_QUEUE)
    put_back(vhost, letter)
    put_back(vhost, letter)

    code, said = resolve(vhost, "m-1", "--resend", **open_with(keys))

    assert (code, said.count("given back")) == (0, 2)
    with smtp_server() as server, consuming(vhost.url, server.url) as process:
        wait_until(lambda: len(process.handled("m-1")) == 2, what="both copies")
        assert {line["outcome"] for line in process.handled("m-1")} == {"accepted", "duplicate"}
        (mail,) = server.mails
        assert TOKEN.encode() in mail.content
    assert vhost.queue_depth(DEAD_QUEUE) == 0


def test_said_to_be_sent_it_is_noted_under_its_own_fingerprint(
    vhost: VirtualHost, keys: Keys
) -> None:
    in_doubt(vhost, **sealing(keys))

    code, said = resolve(vhost, "m-1", "--sent", **open_with(keys))

    assert (code, said) == (0, "✓ m-1: taken as sent to 2 recipients\n")
    assert vhost.queue_depth(DEAD_QUEUE) == 0


@pytest.mark.parametrize("word", ["--sent", "--resend"])
def test_without_its_key_it_stays_where_it_is(vhost: VirtualHost, keys: Keys, word: str) -> None:
    in_doubt(vhost, **sealing(keys))

    code, said = resolve(vhost, "m-1", word)

    assert code == 1
    assert said.startswith("✗ m-1: its body is sealed, and the key ")
    assert "HOPMAIL_DEADLETTER_OPEN_KEYS_FILE" in said
    assert vhost.queue_depth(DEAD_QUEUE) == 1


def test_a_lost_key_holds_back_no_other_dead_letter(vhost: VirtualHost, keys: Keys) -> None:
    in_doubt(vhost, **sealing(keys))
    bury(vhost, dead_letter("later", Reason.IN_DOUBT))

    ended = hopmail(
        *("deadletters", "replay", "--reason", "in_doubt", "--yes"),
        amqp_url=vhost.url,
        smtp_url=NOWHERE,
    )

    assert ended.returncode == 1
    assert "✓ 1 dead letter given back to be sent\n" in ended.stdout
    assert ended.stderr.startswith("✗ m-1: its body is sealed, and the key ")
    assert ended.stderr.endswith("; 1 dead letter left in the queue\n")
    assert [copy.properties.message_id for copy in vhost.take_all(QUEUE)] == ["later"]
    assert [each.properties.message_id for each in vhost.take_all(DEAD_QUEUE)] == ["m-1"]


def test_after_a_change_of_keys_what_was_sealed_before_is_opened_too(
    vhost: VirtualHost, keys: Keys
) -> None:
    in_doubt(vhost, **sealing(keys))
    keys.make()
    in_doubt_later = EMAIL.replace(b"Hi", b"Ho")
    die_beside(vhost, in_doubt_later, keys)

    names = {letter.headers["x-hopmail-body-key"] for letter in look(vhost)}
    assert len(names) == 2
    for message_id in ("m-1", "later"):
        assert resolve(vhost, message_id, "--resend", **open_with(keys))[0] == 0
    assert {copy.body for copy in vhost.take_all(QUEUE)} == {EMAIL, in_doubt_later}


def die_beside(vhost: VirtualHost, body: bytes, keys: Keys) -> None:
    """Have a consumer hold a message `later` in doubt, beside one dead letter."""
    rules: dict[str, Rule] = {"END_OF_DATA": hang_up()}
    with smtp_server(rules) as server, consuming(vhost.url, server.url, **sealing(keys)) as one:
        vhost.publish_raw(body, message_id="later")
        wait_until(lambda: vhost.queue_depth(DEAD_QUEUE) == 2, what="the dead letter")
        assert one.terminate() == 0


def look(vhost: VirtualHost) -> list[Message]:
    """Return the dead letters, and put them back."""
    letters = vhost.take_all(DEAD_QUEUE)
    for letter in letters:
        put_back(vhost, letter)
    return letters


def test_moved_to_another_letter_a_body_is_not_opened(vhost: VirtualHost, keys: Keys) -> None:
    in_doubt(vhost, EMAIL, EMAIL.replace(b"Hi", b"Ho"), **sealing(keys))
    first, second = sorted(vhost.take_all(DEAD_QUEUE), key=lambda each: each.properties.message_id)
    put_back(vhost, Message(second.properties, first.body))

    code, said = resolve(vhost, "m-2", "--resend", **open_with(keys))

    assert code == 1
    assert "its seal is broken: it was altered, or taken from another message" in said
    assert (vhost.queue_depth(DEAD_QUEUE), vhost.queue_depth(QUEUE)) == (1, 0)


def test_put_back_into_its_lane_as_it_is_it_is_dead_again_and_opens_still(
    vhost: VirtualHost, keys: Keys
) -> None:
    in_doubt(vhost, **sealing(keys))
    (letter,) = vhost.take_all(DEAD_QUEUE)
    put_back(vhost, letter, exchange="email", lane=Lane.TRANSACTIONAL)
    with smtp_server() as server, consuming(vhost.url, server.url, **sealing(keys)):
        (again,) = vhost.dead_letters(1)
        assert server.mails == []

    assert again.body == letter.body
    assert again.headers["x-hopmail-reason"] == "unsupported_content"
    assert again.headers["x-hopmail-body"] == "encrypted"
    again.headers["x-hopmail-reason"] = "in_doubt"
    put_back(vhost, again)
    assert resolve(vhost, "m-1", "--resend", **open_with(keys))[0] == 0
    assert vhost.take_all(QUEUE)[0].body == EMAIL


def test_a_copy_that_waits_for_its_retry_is_as_it_was(vhost: VirtualHost, keys: Keys) -> None:
    rules: dict[str, Rule] = {"RCPT": [say("451 4.7.1 later"), say("550 5.1.1 no")]}
    settings = {"retry_delays": "1h", **sealing(keys)}
    with smtp_server(rules) as server, consuming(vhost.url, server.url, **settings):
        vhost.publish_raw(EMAIL, message_id="m-1")
        (letter,) = vhost.dead_letters(1)
        vhost.wait_for_depth("email.transactional.retry.1h.v1", 1)
        (copy,) = vhost.take_all("email.transactional.retry.1h.v1")

    assert letter.headers["x-hopmail-pending"] == ["bob@example.org"]
    assert letter.headers["x-hopmail-body"] == "encrypted"
    assert copy.headers["x-hopmail-pending"] == ["ada@example.org"]
    assert copy.body == EMAIL


def test_redacted_an_outline_is_left(vhost: VirtualHost) -> None:
    die(vhost, {"END_OF_DATA": say(QUOTING)}, EMAIL, deadletter_body="redact")

    (letter,) = vhost.take_all(DEAD_QUEUE)
    told = f"{letter.body!r} {letter.headers} {letter.properties}"
    assert TOKEN not in told
    assert "ada@" not in told
    assert letter.headers["x-hopmail-body"] == "redacted"
    assert letter.headers["x-hopmail-pending"] == ["a***@example.org", "b***@example.org"]
    assert json.loads(letter.body) == {
        "x-hopmail-body": "redacted",
        "bytes": len(EMAIL),
        "fields": {
            "email_to": ["a***@example.org", "b***@example.org"],
            "email_from": "a***@example.org",
            "subject": "2 characters",
            "message": {"text": f"{len(f'Go to https://example.org/?t={TOKEN}')} characters"},
            "if_uncertain": "4 characters",
        },
    }


def test_redacted_it_can_be_taken_as_sent_and_not_be_sent(vhost: VirtualHost) -> None:
    in_doubt(vhost, deadletter_body="redact")

    code, said = resolve(vhost, "m-1", "--resend")

    assert code == 1
    assert "its body was not kept (HOPMAIL_DEADLETTER_BODY=redact)" in said
    assert vhost.queue_depth(QUEUE) == 0
    assert resolve(vhost, "m-1", "--sent") == (0, "✓ m-1: taken as sent to 2 recipients\n")
    assert vhost.queue_depth(DEAD_QUEUE) == 0
    with smtp_server() as server, consuming(vhost.url, server.url) as process:
        vhost.publish_raw(EMAIL, message_id="m-1")
        wait_until(lambda: process.handled("m-1"), what="the copy")
        assert process.handled("m-1")[0]["outcome"] == "duplicate"
        assert server.mails == []


def test_put_back_into_its_lane_an_outline_stays_one(vhost: VirtualHost) -> None:
    in_doubt(vhost, deadletter_body="redact")
    (letter,) = vhost.take_all(DEAD_QUEUE)
    put_back(vhost, letter, exchange="email", lane=Lane.TRANSACTIONAL)
    with smtp_server() as server, consuming(vhost.url, server.url):
        (again,) = vhost.dead_letters(1)
        assert server.mails == []

    assert again.body == letter.body
    assert again.headers["x-hopmail-body"] == "redacted"


def test_what_is_too_large_to_be_an_email_is_not_sealed_but_outlined(
    vhost: VirtualHost, keys: Keys
) -> None:
    """Sealed, a message of the broker's largest size would be larger than that."""
    die(vhost, {}, b"x" * (MAX_BODY_BYTES + 1), b"y" * MAX_BODY_BYTES, **sealing(keys))

    large, fitting = sorted(vhost.take_all(DEAD_QUEUE), key=lambda each: each.properties.message_id)
    assert large.headers["x-hopmail-body"] == "redacted"
    assert len(large.body) < 100
    assert fitting.headers["x-hopmail-body"] == "encrypted"


@pytest.mark.parametrize("command", ["consume", "run"])
def test_without_a_key_no_consumer_starts(command: str) -> None:
    ended = hopmail(
        command, amqp_url="amqp://127.0.0.1:1", smtp_url=NOWHERE, deadletter_body="encrypt"
    )

    assert ended.returncode == 78
    assert ended.stderr == (
        "✗ HOPMAIL_DEADLETTER_BODY: encrypt needs HOPMAIL_DEADLETTER_SEAL_KEY;"
        " `hopmail deadletters keygen FILE` makes one\n"
    )


WITHOUT_IT = """
import sys
sys.modules["cryptography"] = None
from consumer.__main__ import main
main()
"""


def without_the_library(*arguments: str, **settings: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_IT, *arguments],
        cwd=ROOT,
        env=environment(**settings),
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_the_library_each_says_what_to_install(
    vhost: VirtualHost, keys: Keys, tmp_path: Path
) -> None:
    in_doubt(vhost, **sealing(keys))
    given = {"amqp_url": vhost.url, "smtp_url": NOWHERE, **sealing(keys), **open_with(keys)}

    for code, arguments in (
        (78, ("consume",)),
        (1, ("deadletters", "resolve", "m-1", "--resend")),
        (1, ("deadletters", "keygen", str(tmp_path / "more.keys"))),
        (1, ("check",)),
    ):
        ended = without_the_library(*arguments, **given)
        assert ended.returncode == code, ended.stderr
        assert "pip install -c constraints.txt '.[consumer,encrypt]'" in ended.stdout + ended.stderr


def test_where_nothing_is_sealed_the_library_is_not_needed(vhost: VirtualHost) -> None:
    in_doubt(vhost)

    ended = without_the_library(
        "deadletters", "resolve", "m-1", "--resend", amqp_url=vhost.url, smtp_url=NOWHERE
    )

    assert ended.returncode == 0, ended.stderr


def test_check_says_what_becomes_of_bodies(keys: Keys) -> None:
    for settings, said in (
        (sealing(keys), "✓ dead letters: sealed, opened by the key "),
        ({"deadletter_body": "redact"}, "✓ dead letters: bodies are not kept"),
        ({"deadletter_body": "encrypt"}, "✗ dead letters: encrypt needs HOPMAIL_DEADLETTER_SEAL"),
    ):
        ended = hopmail("check", amqp_url="amqp://127.0.0.1:1", smtp_url=NOWHERE, **settings)
        assert said in ended.stdout


def test_the_file_of_keys_is_its_owners_and_grows(keys: Keys) -> None:
    before = keys.file.read_text()
    keys.make()

    assert keys.file.stat().st_mode & 0o777 == 0o600
    assert keys.file.read_text().startswith(before)
    assert keys.file.read_text().count("\nhopmail-open-") == 2


def test_no_key_is_put_where_others_can_read_it(keys: Keys) -> None:
    before = keys.file.read_text()
    keys.file.chmod(0o640)

    ended = hopmail("deadletters", "keygen", str(keys.file))

    assert ended.returncode == 1
    assert ended.stderr == (
        f"✗ {keys.file}: others can read it; say `chmod 600` to it first; nothing was made\n"
    )
    assert (ended.stdout, keys.file.read_text()) == ("", before)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    ended = hopmail("deadletters", "keygen", str(tmp_path / "none" / "open.keys"))

    assert ended.returncode == 1
    assert "open.keys: No such file or directory; nothing was made" in ended.stderr
