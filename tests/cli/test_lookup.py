"""`hopmail lookup`: the stories of real mails, told while consumers work and after."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from consumer.core.topology import DEAD_QUEUE, lane_queue
from publisher_lib.routing import Lane
from tests.cli.command import hopmail
from tests.cli.inside import inside
from tests.support.broker import VirtualHost
from tests.support.consumer_process import (
    ConsumerProcess,
    consuming,
    state_folder,
    wait_until,
)
from tests.support.redis_server import redis_server
from tests.support.smtp_script import Rule, by_recipient, hang_up, say, silence
from tests.support.smtp_server import SmtpServer, smtp_server

NOWHERE = "smtp://127.0.0.1:9?tls=none"
QUEUE = lane_queue(Lane.TRANSACTIONAL)


def email(*recipients: str, **more: object) -> bytes:
    return json.dumps(
        {
            "email_to": list(recipients) or ["ada@example.org"],
            "email_from": "app@example.org",
            "subject": "Hi",
            "message": {"text": "Hello"},
            **more,
        }
    ).encode()


class Scene:
    """A virtual host, a ledger and an archive of the log."""

    def __init__(self, vhost: VirtualHost, ledger_url: str, log_dir: Path) -> None:
        self.vhost = vhost
        self.settings: dict[str, object] = {"ledger_url": ledger_url, "log_dir": log_dir}

    @contextmanager
    def consuming(
        self, rules: dict[str, Rule] | None = None, **settings: object
    ) -> Iterator[tuple[ConsumerProcess, SmtpServer]]:
        """Run a consumer and its relay."""
        with (
            smtp_server(rules or {}) as server,
            consuming(self.vhost.url, server.url, **self.settings, **settings) as process,
        ):
            yield process, server

    def publish(self, body: bytes, message_id: str = "m-1", **properties: Any) -> None:
        self.vhost.publish_raw(body, message_id=message_id, **properties)

    def lookup(self, *arguments: str, **settings: object) -> tuple[int, str]:
        given = {"amqp_url": self.vhost.url, "smtp_url": NOWHERE, **self.settings, **settings}
        ended = hopmail("lookup", *arguments, **given)
        assert ended.stderr == ""
        return ended.returncode, ended.stdout

    def told(self, *arguments: str, **settings: object) -> dict[str, Any]:
        """Return what is told to scripts of `m-1`, which is found."""
        code, said = self.lookup("m-1", "--json", *arguments, **settings)
        assert code == 0, said
        found: dict[str, Any] = json.loads(said)
        return found

    def places(self, **settings: object) -> list[tuple[str, bool, list[str]]]:
        """Return where the one message `m-1` is, whether that is certain, and for whom."""
        (message,) = self.told("--addresses", **settings)["messages"]
        return [(each["place"], each["certain"], each["names"]) for each in message["places"]]

    def place(self) -> tuple[str, bool]:
        ((place, certain, _names),) = self.places()
        return place, certain


@pytest.fixture(params=["sqlite", "redis"])
def scene(request: pytest.FixtureRequest, vhost: VirtualHost, tmp_path: Path) -> Iterator[Scene]:
    vhost.declare_topology()
    url = f"sqlite://{state_folder(vhost.url)}/ledger.sqlite3"
    with ExitStack() as stack:
        if request.param == "redis":
            folder = tmp_path / "redis"
            folder.mkdir()
            url = stack.enter_context(redis_server(folder)).url
        yield Scene(vhost, url, tmp_path / "log")


sqlite_only = pytest.mark.parametrize("scene", ["sqlite"], indirect=True)


def handled(process: ConsumerProcess, count: int = 1) -> Callable[[], bool]:
    return lambda: len(process.handled("m-1")) == count


def test_an_accepted_mail_is_told_with_reply_time_and_relay(scene: Scene) -> None:
    with scene.consuming() as (process, _server):
        scene.publish(email(), app_id="shop", timestamp=None)
        wait_until(handled(process), what="the mail")

        assert scene.place() == ("accepted", True)
        code, said = scene.lookup("m-1")

    head, *rest = said.splitlines()
    assert code == 0
    assert head == "m-1 · no login · app shop"
    assert any(line.startswith("  → 1 recipient accepted by the relay: 250 ") for line in rest)
    assert "    a***@example.org" in rest
    assert any(" accepted: 250 " in line and "by 127.0.0.1:" in line for line in rest)
    assert "ada@" not in said


def test_a_retried_mail_waits_until_its_delay_has_passed(scene: Scene) -> None:
    rules: dict[str, Rule] = {"MAIL": say("451 4.7.1 later")}
    with scene.consuming(rules, retry_delays="1h") as (process, _server):
        scene.publish(email())
        wait_until(handled(process), what="its first attempt")

    (message,) = scene.told(retry_delays="1h")["messages"]
    (place,) = message["places"]
    assert (place["place"], place["certain"]) == ("waits", False)
    assert place["text"] == "waits for attempt 2"
    assert place["back_in_lane"] > scene.told()["now"]
    _code, said = scene.lookup("m-1")
    assert "refused: MAIL 451 4.7.1 later, by 127.0.0.1:" in said
    assert " → again after 1h (1 recipient)" in said
    assert ", until about " in said


def test_a_refused_mail_is_a_dead_letter_until_somebody_takes_it(scene: Scene) -> None:
    rules: dict[str, Rule] = {"RCPT": say("550 5.1.1 no <ada@example.org> here")}
    with scene.consuming(rules) as (process, _server):
        scene.publish(email())
        wait_until(handled(process), what="the mail")
    before = scene.vhost.queue_depth(DEAD_QUEUE)

    assert scene.places() == [("dead_letter", True, ["ada@example.org"])]
    _code, said = scene.lookup("m-1")
    assert "→ 1 recipient lies in the dead-letter queue: refused" in said
    assert "RCPT 550 5.1.1 no <a***@example.org> here" in said
    assert "ada@" not in said

    scene.vhost.wait_for_depth(DEAD_QUEUE, before)
    scene.vhost.take_all(DEAD_QUEUE)
    assert scene.place() == ("former_dead_letter", False)


@sqlite_only
def test_it_is_told_how_often_a_mail_was_sent_again(scene: Scene) -> None:
    with scene.consuming({"RCPT": [say("550 5.1.1 nobody here")]}) as (process, _server):
        scene.publish(email())
        scene.vhost.wait_for_depth(DEAD_QUEUE, 1)
        replayed = hopmail(
            *("deadletters", "replay", "m-1", "--yes"),
            amqp_url=scene.vhost.url,
            smtp_url=NOWHERE,
        )
        assert replayed.returncode == 0, replayed.stderr
        wait_until(handled(process, 2), what="the mail")

    _code, said = scene.lookup("m-1")
    assert "  sent again by a person: 1 time\n  → 1 recipient accepted by the relay: 250 " in said
    assert "1 of replay 1   accepted: 250" in said
    assert "published" not in said, "its latency counts from the replay"


def test_each_recipient_s_fate_is_told(scene: Scene) -> None:
    events = {"bob@example.org": say("550 5.1.1 no"), "eve@example.org": say("451 4.7.1 later")}
    with scene.consuming({"RCPT": by_recipient(events)}, retry_delays="1h") as (process, _server):
        scene.publish(email("ada@example.org", "bob@example.org", "eve@example.org"))
        wait_until(handled(process), what="the mail")

    assert scene.places() == [
        ("dead_letter", True, ["bob@example.org"]),
        ("accepted", True, ["ada@example.org"]),
        ("waits", False, ["eve@example.org"]),
    ]


def test_a_mail_held_in_doubt_and_then_resolved(scene: Scene) -> None:
    with scene.consuming({"END_OF_DATA": hang_up()}) as (process, _server):
        scene.publish(email(if_uncertain="hold"))
        wait_until(handled(process), what="the doubt")
        scene.vhost.wait_for_depth(DEAD_QUEUE, 1)
        # Told before it is settled.
        wait_until(lambda: scene.vhost.unsettled(QUEUE) == 0, 30, "the ack")

    (message,) = scene.told()["messages"]
    assert [(each["place"], each["certain"]) for each in message["places"]] == [
        ("dead_letter", True)
    ]
    assert message["ledger"]["recipients"][0]["state"] == "held"
    assert message["dead_letters"][0]["reason"] == "in_doubt"

    resolved = hopmail(
        *("deadletters", "resolve", "m-1", "--sent"),
        amqp_url=scene.vhost.url,
        smtp_url=NOWHERE,
        ledger_url=scene.settings["ledger_url"],
    )
    assert resolved.returncode == 0, resolved.stderr

    assert scene.place() == ("accepted", True)
    (message,) = scene.told()["messages"]
    assert message["places"][0]["said"] == "sent, a person says"


def test_a_duplicate_leaves_the_first_one_s_fate(scene: Scene) -> None:
    with scene.consuming() as (process, server):
        scene.publish(email())
        wait_until(handled(process), what="the mail")
        scene.publish(email())
        wait_until(handled(process, 2), what="its copy")
        assert len(server.mails) == 1

    assert scene.place() == ("accepted", True)
    assert [each["outcome"] for each in scene.told()["log"] if each["event"] == "handled"] == [
        "accepted",
        "duplicate",
    ]


def test_a_mail_that_is_being_sent_is_in_a_living_process_s_hands(scene: Scene) -> None:
    with scene.consuming({"END_OF_DATA": silence()}) as (process, server):
        scene.publish(email())
        wait_until(lambda: server.dotted, what="the dot")

        code, said = scene.lookup("m-1")
        assert code == 0
        assert "a living process is sending it, attempt 1: its final dot is due or out" in said
        assert process.is_alive

    if str(scene.settings["ledger_url"]).startswith("sqlite"):
        assert scene.place() == ("in_doubt", False), "it was killed"


def test_lookups_of_a_busy_consumer_cost_no_mail(scene: Scene) -> None:
    with scene.consuming() as (process, server):
        for number in range(100):
            scene.publish(email(), message_id=f"m-{number}")
        for _ in range(3):
            scene.lookup("m-1")
        wait_until(lambda: len(server.mails) == 100, 30, "all mails")
        wait_until(handled(process), 30, "its line")
        assert scene.place() == ("accepted", True)

    assert process.events("ledger in trouble") == []
    assert len(server.mails) == 100


def test_what_nobody_has_seen_may_wait_or_never_was(scene: Scene) -> None:
    with scene.consuming() as (process, _server):
        scene.publish(email())
        wait_until(handled(process), what="another mail")

    code, said = scene.lookup("m-2")

    assert code == 1
    assert said == (
        "✗ m-2: not seen by this host's consumers: it may still wait in its lane, or was never"
        " published; see `hopmail status`\n\n"
        "  looked where this shell's settings say: HOPMAIL_AMQP_URL, HOPMAIL_STATE_DIR,"
        " HOPMAIL_LEDGER_URL and HOPMAIL_LOG_DIR must be the workers'\n"
    )
    code, said = scene.lookup("m-2", "--json")
    assert (code, json.loads(said)["found"]) == (1, False)


def test_two_apps_with_one_id_are_told_apart(scene: Scene) -> None:
    app = f"webapp-{scene.vhost.name}"
    with scene.consuming() as (process, _server):
        scene.publish(email("ada@example.org"))
        scene.publish(email("bob@example.org"), url=scene.vhost.app_url, user_id=app)
        wait_until(handled(process, 2), what="both mails")

    told = scene.told()
    assert [each["login"] for each in told["messages"]] == ["", app]
    assert told["log_may_be_of_other_logins"]
    (message,) = scene.told("--login", app, "--addresses")["messages"]
    assert message["places"][0]["names"] == ["bob@example.org"]
    _code, said = scene.lookup("m-1")
    assert "the log tells no logins: its lines may be of another's message" in said


def test_what_breaks_the_contract_is_told_by_its_dead_letter(scene: Scene) -> None:
    with scene.consuming() as (process, _server):
        scene.publish(b"{}")
        wait_until(handled(process), what="the mail")

    code, said = scene.lookup("m-1")

    assert code == 0
    assert "→ lies in the dead-letter queue: invalid" in said
    assert "/subject is required" in said


def test_a_mail_that_is_not_due_waits(scene: Scene) -> None:
    with scene.consuming(retry_delays="30m,1h") as (process, _server):
        scene.publish(email(send_at="2999-01-01T00:00:00Z"))
        wait_until(handled(process), what="the mail")

    _code, said = scene.lookup("m-1")

    assert "~ 1 recipient waits as it is not due yet, until about " in said


@sqlite_only
def test_sources_that_are_away_are_named_and_the_rest_is_told(scene: Scene, tmp_path: Path) -> None:
    with scene.consuming() as (process, _server):
        scene.publish(email())
        wait_until(handled(process), what="the mail")

    code, said = scene.lookup("m-1", amqp_url="amqp://u:s3cret@127.0.0.1:9/", log_dir="none")
    assert code == 0
    assert "1 recipient accepted by the relay: 250" in said
    assert "  dead letters not looked into: broker 127.0.0.1:9: " in said
    assert "  log not looked into: HOPMAIL_LOG_DIR is none" in said
    assert "s3cret" not in said

    code, said = scene.lookup("m-1", ledger_url="none")
    assert code == 0
    assert "m-1 · login not known" in said
    assert "1 recipient accepted by the relay: 250" in said
    assert "  ledger not looked into: HOPMAIL_LEDGER_URL is none" in said

    code, said = scene.lookup(
        "m-1", ledger_url=f"sqlite://{tmp_path}/new/ledger.sqlite3", log_dir=tmp_path / "nowhere"
    )
    assert code == 1
    assert "no trace of it in what could be looked into" in said
    assert "ledger not looked into: there is none at" in said
    assert not (tmp_path / "new").exists()


@sqlite_only
def test_a_look_changes_neither_ledger_nor_dead_letters(scene: Scene) -> None:
    with scene.consuming({"RCPT": say("550 5.1.1 no")}) as (process, _server):
        for message_id in ("m-0", "m-1", "m-2"):
            scene.publish(email(), message_id)
        wait_until(lambda: len(process.events("handled")) == 3, what="the mails")
    ledger = state_folder(scene.vhost.url) / "ledger.sqlite3"

    def rows() -> list[Any]:
        with closing(sqlite3.connect(ledger)) as db:
            return db.execute("SELECT * FROM recipient ORDER BY message_id").fetchall()

    before = rows(), sorted(path.name for path in ledger.parent.iterdir())
    for _ in range(3):
        assert scene.lookup("m-1")[0] == 0

    assert (rows(), sorted(path.name for path in ledger.parent.iterdir())) == before
    scene.vhost.wait_for_depth(DEAD_QUEUE, 3)
    order = [letter.properties.message_id for letter in scene.vhost.take_all(DEAD_QUEUE)]
    assert sorted(order) == ["m-0", "m-1", "m-2"]


@sqlite_only
def test_a_relay_s_words_reach_no_terminal_as_they_are(scene: Scene) -> None:
    with scene.consuming({"RCPT": say("550 5.1.1 \x1b[31mred \u202e")}) as (process, _server):
        scene.publish(email())
        wait_until(handled(process), what="the mail")

    for more in ((), ("--addresses",)):
        _code, said = scene.lookup("m-1", *more)
        assert "red" in said
        assert all(character.isprintable() or character == "\n" for character in said)


@pytest.mark.parametrize("message_id", ["", "m-\udcff"])
def test_what_is_no_message_id_is_refused(message_id: str) -> None:
    ended = inside("lookup", message_id)

    assert ended.returncode == 2
    assert "a message id is" in ended.stderr
