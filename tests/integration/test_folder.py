"""A consumer that writes into a folder in place of a relay: a broker is all that it needs."""

from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path

from publisher_lib import Publisher
from tests.cli.command import hopmail
from tests.support.broker import VirtualHost
from tests.support.consumer_process import consuming, wait_until


def test_each_mail_is_one_file_whoever_gives_it_twice(vhost: VirtualHost, tmp_path: Path) -> None:
    vhost.declare_topology()
    folder = tmp_path / "mails"
    keys = [f"m-{number}" for number in range(20)]
    with (
        Publisher(vhost.url) as publisher,
        consuming(vhost.url, f"file://{folder}") as consumer,
    ):
        for key in [*keys, *keys]:
            publisher.send(
                to="ada@example.org",
                bcc="bob@example.org",
                from_="app@example.org",
                subject=key,
                text="Hello",
                message_id=key,
            )
        wait_until(lambda: len(consumer.events("handled")) == 40, what="all and their copies")
        (warning,) = consumer.events("not for production")

    mails = [message_from_bytes(file.read_bytes(), policy=SMTP) for file in folder.iterdir()]
    assert sorted(str(mail["Subject"]) for mail in mails) == sorted(keys)
    assert {str(mail["X-Envelope-To"]) for mail in mails} == {"ada@example.org, bob@example.org"}
    assert warning["detail"].startswith("HOPMAIL_SMTP_URL is a folder")
    outcomes = [line["outcome"] for line in consumer.events("handled")]
    assert (outcomes.count("accepted"), outcomes.count("duplicate")) == (20, 20)


def test_mail_waits_for_a_folder_that_cannot_be_written_to(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    vhost.declare_topology()
    folder = tmp_path / "mails"
    folder.touch()
    with (
        Publisher(vhost.url) as publisher,
        consuming(vhost.url, f"file://{folder}") as consumer,
    ):
        publisher.send(to="a@example.org", from_="b@example.org", subject="Hi", text="Hello")
        wait_until(lambda: consumer.events("relay in trouble"), what="the breaker")
        folder.unlink()
        wait_until(lambda: folder.is_dir() and list(folder.glob("*.eml")), what="the mail")


def test_check_says_whether_the_folder_can_be_written_to(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    vhost.declare_topology()
    (tmp_path / "file").touch()
    settings = {"amqp_url": vhost.url, "retry_delays": "1s,2s", "metrics_dir": "none"}

    good = hopmail("check", smtp_url=f"file://{tmp_path}/new", **settings)
    bad = hopmail("check", smtp_url=f"file://{tmp_path}/file", **settings)

    assert (good.returncode, bad.returncode) == (0, 1)
    assert f"✓ relay folder: {tmp_path}/new can be written to" in good.stdout
    assert "✓ NOT FOR PRODUCTION: HOPMAIL_SMTP_URL is a folder" in good.stdout
    assert "✗ relay folder: the folder cannot be written to (" in bad.stdout


def test_a_folder_is_no_relay_to_fail_over_to() -> None:
    ended = hopmail(
        "check", amqp_url="amqp://a:b@127.0.0.1:9", smtp_url="smtp://relay,file:///tmp/mails"
    )

    assert ended.returncode == 78
    assert "a folder stands alone: beside relays it would take mail" in ended.stderr
