"""amqps:// to RabbitMQ's own listener, which wants a certificate of its clients."""

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from publisher_lib import NotPublished, Publisher
from tests.cli.command import hopmail
from tests.publisher.emails import email
from tests.support.certificates import authority
from tests.support.consumer_process import ConsumerProcess, consuming, wait_until
from tests.support.smtp_server import smtp_server
from tests.support.tls_broker import TLSBroker, tls_broker

PASSWORD: Final = "p4ss/w?rd"
NOWHERE: Final = "smtp://127.0.0.1:9?tls=none"
SHORT: Final = timedelta(seconds=2)
NAME: Final = "broker.example"
OURS_REFUSED: Final = "the broker refused our certificate, or that we have none"


@pytest.fixture(scope="module")
def broker() -> Iterator[TLSBroker]:
    """A broker with the logins and the rights that the printed commands give."""
    with tls_broker() as made:
        for line in hopmail("topology", "users").stdout.splitlines():
            match shlex.split(line, comments=True):
                case ["rabbitmqctl", "add_user", login]:
                    # On its standard input in life; here nobody looks at the arguments.
                    made.node.control("add_user", login, PASSWORD)
                case ["rabbitmqctl", *command]:
                    made.node.control(*command)
        yield made


@contextmanager
def showing(broker: TLSBroker, *names: str, expired: bool = False) -> Iterator[None]:
    """Have the broker show another certificate for the length of a block."""
    broker.show(*names, expired=expired)
    try:
        yield
    finally:
        broker.show()


def check(url: str, smtp_url: str = NOWHERE) -> str:
    """Return the line that `hopmail check` has for the broker."""
    ended = hopmail("check", amqp_url=url, smtp_url=smtp_url)
    (line,) = [line for line in ended.stdout.splitlines() if "broker" in line]
    assert ended.stderr == ""
    return line


def test_a_mail_goes_all_the_way_with_the_printed_logins(broker: TLSBroker, tmp_path: Path) -> None:
    deploy, consumer, app = (
        broker.good_url(login, PASSWORD)
        for login in ("hopmail-deploy", "hopmail-consumer", "webapp")
    )

    applied = hopmail("topology", "apply", amqp_url=deploy, smtp_url=NOWHERE, retry_delays="1s,2s")

    assert applied.returncode == 0, applied.stderr
    assert check(consumer) == (
        f"✓ broker amqps://hopmail-consumer:***@127.0.0.1:{broker.port}/?…: login accepted"
    )
    with (
        smtp_server() as relay,
        consuming(consumer, relay.url, state_dir=tmp_path),
        Publisher(app) as publisher,
    ):
        publisher.publish(email())
        wait_until(lambda: relay.mails, what="the mail")


def refusals(broker: TLSBroker, folder: Path) -> Mapping[str, tuple[str, str]]:
    """Return URLs that end in a refusal, with its words."""
    with authority() as other:
        stranger = other.issue(folder / "stranger.pem", "client.example")
        unknown = folder / "other.pem"
        unknown.write_bytes(other.cafile.read_bytes())
    expired = broker.ca.issue(folder / "expired.pem", "client.example", expired=True)
    known, client = {"cacertfile": broker.ca.cafile}, {"certfile": broker.client}

    def url(**options: object) -> str:
        return broker.url("webapp", PASSWORD, **options)

    return {
        "authority of another": (url(cacertfile=unknown, **client), "names the authority to trust"),
        "authority of the system": (url(**client), "names the authority to trust"),
        "no certificate": (url(**known), OURS_REFUSED),
        "certificate of another": (url(**known, certfile=stranger), OURS_REFUSED),
        "expired certificate": (url(**known, certfile=expired), OURS_REFUSED),
        "another name": (url(**known, **client, server_name_indication=NAME), NAME),
        "no file": (url(**known, certfile=folder / "no.pem"), "certfile "),
    }


CASES: Final = (
    *("authority of another", "authority of the system", "no certificate"),
    *("certificate of another", "expired certificate", "another name", "no file"),
)


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_one_line_and_the_library_s_error(
    broker: TLSBroker, tmp_path: Path, case: str
) -> None:
    url, said = refusals(broker, tmp_path)[case]

    line = check(url)
    assert line.startswith(f"✗ broker 127.0.0.1:{broker.port}: ")
    assert said in line
    with Publisher(url, timeout=SHORT) as publisher, pytest.raises(NotPublished, match=said):
        publisher.publish(email())


def test_the_consumer_goes_on_once_the_certificate_is_there(
    broker: TLSBroker, tmp_path: Path
) -> None:
    file = tmp_path / "late.pem"
    url = broker.good_url("hopmail-consumer", PASSWORD, certfile=file)
    hopmail(
        *("topology", "apply"),
        amqp_url=broker.good_url("hopmail-deploy", PASSWORD),
        smtp_url=NOWHERE,
        retry_delays="1s,2s",
    )
    process = ConsumerProcess(url, NOWHERE, state_dir=tmp_path)
    try:
        wait_until(lambda: process.events("broker not ready"), 20, "the refusal")
        broker.ca.issue(file, "client.example")
        wait_until(lambda: process.events("consuming"), 30, "the connection")
    finally:
        process.kill()

    assert "certfile" in process.events("broker not ready")[0]["detail"]


def test_an_expired_broker_is_refused(broker: TLSBroker) -> None:
    url = broker.good_url("webapp", PASSWORD)
    with showing(broker, expired=True):
        line = check(url)
        with (
            Publisher(url, timeout=SHORT) as publisher,
            pytest.raises(NotPublished, match="certificate has expired"),
        ):
            publisher.publish(email())

    assert "the broker's certificate is refused: certificate has expired" in line


def test_a_broker_of_another_name_is_refused_unless_that_is_the_name_wanted(
    broker: TLSBroker,
) -> None:
    with showing(broker, NAME):
        refused = check(broker.good_url("webapp", PASSWORD))
        taken = check(broker.good_url("webapp", PASSWORD, server_name_indication=NAME))

    assert "IP address mismatch" in refused
    assert taken.endswith("login accepted")
