"""A consumer that writes into a folder in place of a relay: a broker is all that it needs."""

import signal
from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path

from publisher_lib import Publisher
from tests.cli.command import hopmail
from tests.support.broker import VirtualHost
from tests.support.consumer_process import consuming, wait_until
from tests.support.small_disk import small_disk


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
    assert "! not for production: HOPMAIL_SMTP_URL is a folder" in good.stdout
    assert "✗ relay folder: the folder cannot be written to (" in bad.stdout


def test_a_folder_is_no_relay_to_fail_over_to() -> None:
    ended = hopmail(
        "check", amqp_url="amqp://a:b@127.0.0.1:9", smtp_url="smtp://relay,file:///tmp/mails"
    )

    assert ended.returncode == 78
    assert "a folder stands alone: beside relays it would take mail" in ended.stderr


def test_a_full_disk_lets_mail_wait_for_its_next_attempt(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    vhost.declare_topology()
    with (
        small_disk(tmp_path / "disk", 64) as disk,
        Publisher(vhost.url) as publisher,
        consuming(vhost.url, f"file://{disk}") as consumer,
    ):
        (disk / "hog").write_bytes(bytes(60 * 1024))
        publisher.send(
            to="a@example.org",
            from_="b@example.org",
            subject="Hi",
            text="x " * 5000,
            message_id="m",
        )
        wait_until(lambda: consumer.handled("m"), what="the refusal")
        (disk / "hog").unlink()
        wait_until(lambda: list(disk.glob("*-m.eml")), what="the mail")
        first = consumer.handled("m")[0]
        assert (first["outcome"], first["disposition"], first["stage"]) == (
            "refused",
            "retry",
            "DATA",
        )


def test_killed_at_any_point_it_writes_no_mail_twice_and_loses_none(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    vhost.declare_topology()
    folder = tmp_path / "mails"
    keys = {f"m-{number}" for number in range(300)}
    with Publisher(vhost.url) as publisher:
        publisher.publish_many(
            [
                {
                    "email_to": "ada@example.org",
                    "email_from": "app@example.org",
                    "subject": key,
                    "message": {"text": "Hello"},
                    "if_uncertain": "hold",
                }
                for key in sorted(keys)
            ],
            message_ids=sorted(keys),
        )

    def written() -> list[str]:
        return [file.stem.partition("-")[2] for file in folder.glob("*.eml")]

    def held() -> set[str]:
        dead.update(each.properties.message_id for each in vhost.take_all("email.dead.v1"))
        return dead

    dead: set[str] = set()
    for least in (20, 120):
        with consuming(vhost.url, f"file://{folder}") as consumer:
            wait_until(lambda least=least: len(written()) >= least, what="some mails")  # type: ignore[misc]
            consumer.signal(signal.SIGKILL)
            wait_until(lambda: not consumer.is_alive, what="its end")
    with consuming(vhost.url, f"file://{folder}"):
        wait_until(lambda: keys == {*written()} | held(), 60, "the rest: none is lost")

    assert len(written()) == len(set(written())), "none twice"
