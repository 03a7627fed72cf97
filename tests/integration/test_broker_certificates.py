"""amqps:// to RabbitMQ's own listener, which wants a certificate of its clients."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from publisher_lib import NotPublished, Publisher
from tests.cli.command import hopmail
from tests.publisher.emails import email
from tests.support.certificates import authority
from tests.support.consumer_process import ConsumerProcess, consuming, wait_until
from tests.support.roles import NAMES, definitions
from tests.support.smtp_server import smtp_server
from tests.support.tls_broker import TLSBroker, tls_broker

PASSWORD: Final = "p4ss/w?rd"
NOWHERE: Final = "smtp://127.0.0.1:9?tls=none"
ENOUGH: Final = timedelta(seconds=10)
"""Also on a busy machine: when it is over, the library tells the last refusal."""

NAME: Final = "broker.example"
OURS_REFUSED: Final = "certfile= and keyfile= in its URL name one it trusts"


@pytest.fixture(scope="module")
def broker() -> Iterator[TLSBroker]:
    """A broker with the logins and the rights that the command prints."""
    with tls_broker() as made:
        made.define(definitions("/", "webapp", "hopmail", [PASSWORD] * len(NAMES)))
        yield made


def check(*urls: str, smtp_url: str = NOWHERE) -> list[str]:
    """Return the line that `hopmail check` has for each broker."""
    ended = hopmail("check", amqp_url=",".join(urls), smtp_url=smtp_url)
    assert ended.stderr == ""
    return [line for line in ended.stdout.splitlines() if " broker " in line]


def told_by_library(*urls: str) -> list[str]:
    """Return what publishing to each broker raises."""
    with ExitStack() as stack:
        publishers = [stack.enter_context(Publisher(url, timeout=ENOUGH)) for url in urls]
        futures = [publisher.publish_nowait(email()) for publisher in publishers]
        refusals = [future.exception() for future in futures]
    assert all(isinstance(refusal, NotPublished) for refusal in refusals), refusals
    return list(map(str, refusals))


def test_a_mail_goes_all_the_way_with_the_printed_logins(broker: TLSBroker, tmp_path: Path) -> None:
    deploy, consumer, app = (
        broker.good_url(login, PASSWORD)
        for login in ("hopmail-deploy", "hopmail-consumer", "webapp")
    )

    applied = hopmail("topology", "apply", amqp_url=deploy, smtp_url=NOWHERE, retry_delays="1s,2s")

    assert applied.returncode == 0, applied.stderr
    assert check(consumer) == [
        f"✓ broker amqps://hopmail-consumer:***@127.0.0.1:{broker.port}/?…: login accepted"
    ]
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


def test_what_is_wrong_is_one_line_and_the_library_s_error(
    broker: TLSBroker, tmp_path: Path
) -> None:
    cases = refusals(broker, tmp_path)
    urls = [url for url, _said in cases.values()]

    lines, told = check(*urls), told_by_library(*urls)

    assert len(lines) == len(cases)
    for (case, (_url, said)), line, words in zip(cases.items(), lines, told, strict=True):
        assert line.startswith(f"✗ broker 127.0.0.1:{broker.port}: "), case
        assert said in line, case
        assert said in words, case


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


def test_a_broker_out_of_date_or_of_another_name_is_refused(broker: TLSBroker) -> None:
    url = broker.good_url("webapp", PASSWORD)
    try:
        broker.show(expired=True)
        (late,), (words,) = check(url), told_by_library(url)
        broker.show(NAME)
        wrong, right = check(url, f"{url}&server_name_indication={NAME}")
    finally:
        broker.show()

    assert "the broker's certificate is refused: certificate has expired" in late
    assert "certificate has expired" in words
    assert "IP address mismatch" in wrong
    assert right.endswith("login accepted")
