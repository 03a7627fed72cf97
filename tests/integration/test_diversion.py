"""A consumer of a staging machine: whom its mail reaches, and what the ledger keeps."""

import signal
from pathlib import Path
from typing import Any

import pytest

from consumer.ops.worker_files import read_files, seen
from publisher_lib import Publisher
from tests.cli.command import hopmail
from tests.support.broker import VirtualHost
from tests.support.consumer_process import consuming, state_folder, wait_until
from tests.support.smtp_script import by_recipient, say, silence
from tests.support.smtp_server import smtp_server

QA = "qa@staging.example"
ADA, BOB, EVE = "ada@example.org", "bob@example.com", "eve@example.net"


def send(vhost: VirtualHost, key: str, to: str | list[str], **more: Any) -> None:
    with Publisher(vhost.url) as publisher:
        publisher.send(
            to=to, from_="app@example.org", subject=key, text="Hello", message_id=key, **more
        )


def sent_to(mails: list[Any]) -> list[list[str]]:
    return [list(mail.recipients) for mail in mails]


def test_all_mail_is_diverted_and_the_ledger_knows_whom_it_was_for(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    with (
        smtp_server() as relay,
        consuming(vhost.url, relay.url, divert_to=QA, smtp_sessions=1) as consumer,
    ):
        for number in range(20):
            send(vhost, f"m-{number}", [ADA, BOB], bcc=[EVE])
        wait_until(lambda: len(relay.mails) == 20, what="all of them, told ahead or not")
        send(vhost, "m-0", [ADA, BOB], bcc=[EVE])
        wait_until(lambda: len(consumer.handled("m-0")) == 2, what="the copy")
        assert [line["outcome"] for line in consumer.handled("m-0")] == ["accepted", "duplicate"]
        (warning,) = consumer.events("not for production")
        (worker,) = read_files(state_folder(vhost.url) / "metrics")
        assert seen(worker).cautions == ("HOPMAIL_DIVERT_TO",)

    assert sent_to(relay.mails) == [[QA]] * 20
    for mail in relay.mails:
        assert f"X-Hopmail-Diverted-From: {ADA}, {BOB}, {EVE}\r\n".encode() in unfolded(mail)
        assert f"To: {ADA}, {BOB}\r\n".encode() in unfolded(mail)
    assert warning["level"] == "WARNING"
    assert warning["detail"].startswith("HOPMAIL_DIVERT_TO is set")
    assert QA not in "".join(consumer.raw)


def unfolded(mail: Any) -> bytes:
    content: bytes = mail.content
    return content.replace(b"\r\n ", b" ")


def test_of_one_mail_each_recipient_has_a_fate_of_its_own(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    refusal = by_recipient({QA: say("550 5.1.1 unknown")})
    with (
        smtp_server({"RCPT": refusal}) as relay,
        consuming(
            vhost.url, relay.url, divert_to=QA, allowed_recipient_domains="example.org"
        ) as consumer,
    ):
        send(vhost, "m-1", [ADA, BOB])
        wait_until(lambda: consumer.handled("m-1"), what="its fate")

    (dead,) = vhost.dead_letters(1)
    assert dead.headers["x-hopmail-pending"] == [BOB]
    assert "(diverted) unknown" in dead.headers["x-hopmail-detail"]
    assert sent_to(relay.mails) == [[ADA]]


def test_without_another_address_the_others_mail_is_kept(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    with (
        smtp_server() as relay,
        consuming(vhost.url, relay.url, allowed_recipient_domains=f"example.org,{BOB}") as consumer,
    ):
        send(vhost, "m-1", [ADA, BOB, EVE])
        send(vhost, "m-2", EVE)
        wait_until(lambda: consumer.handled("m-1") and consumer.handled("m-2"), what="their fates")

    assert sent_to(relay.mails) == [[ADA, BOB]]
    dead = vhost.dead_letters(2)
    assert [message.headers["x-hopmail-reason"] for message in dead] == [
        "recipient_not_allowed"
    ] * 2
    assert [message.headers["x-hopmail-pending"] for message in dead] == [[EVE]] * 2
    assert "HOPMAIL_ALLOWED_RECIPIENT_DOMAINS" in dead[0].headers["x-hopmail-detail"]


def test_killed_after_the_dot_the_recipients_it_was_meant_for_are_in_doubt(
    vhost: VirtualHost,
) -> None:
    vhost.declare_topology()
    with smtp_server({"END_OF_DATA": [silence()]}) as relay:
        with consuming(vhost.url, relay.url, divert_to=QA) as consumer:
            send(vhost, "m-1", [ADA, BOB], if_uncertain="hold")
            wait_until(lambda: relay.dotted, what="the dot")
            consumer.signal(signal.SIGKILL)
            wait_until(lambda: not consumer.is_alive, what="its end")
        with consuming(vhost.url, relay.url, divert_to=QA):
            (dead,) = vhost.dead_letters(1)

    assert dead.headers["x-hopmail-reason"] == "in_doubt"
    assert dead.headers["x-hopmail-pending"] == [ADA, BOB]
    assert len(relay.dotted) == 1, "not sent again"


@pytest.mark.parametrize("is_set", [True, False])
def test_check_and_status_do_not_let_it_be_forgotten(
    vhost: VirtualHost, tmp_path: Path, *, is_set: bool
) -> None:
    vhost.declare_topology()
    with smtp_server() as relay:
        settings: dict[str, object] = {
            "amqp_url": vhost.url,
            "smtp_url": relay.url,
            "retry_delays": "1s,2s",
            "metrics_dir": tmp_path,
        }
        if is_set:
            settings["divert_to"] = QA
        check = hopmail("check", **settings)
        status = hopmail("status", **settings)

    told = "HOPMAIL_DIVERT_TO is set: no mail reaches its recipients"
    assert (f"! not for production: {told}" in check.stdout) is is_set, check.stderr
    assert (f"not for production: {told}" in status.stdout) is is_set, status.stderr
    assert (check.returncode, status.returncode) == (0, 1), "1: nobody consumes"
