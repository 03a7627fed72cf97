"""What a mail's claim is worth until its fate is on the broker."""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from consumer import attempt as attempt_module
from consumer.amqp import consume as consume_module
from consumer.amqp import settle as settle_module
from consumer.amqp.consume import Consumer
from consumer.amqp.inbox import Inbox
from consumer.amqp.settle import Settler
from consumer.core.decide import RetryPolicy
from consumer.core.envelope import Composed
from consumer.core.handled import Handled
from consumer.core.ledger import ALONE_AFTER_DEATHS, Claim, Standing, Wanted, fingerprint
from consumer.core.mail import Mail
from consumer.core.relay_url import RelayURL
from consumer.core.topology import topology
from consumer.desk import Desk
from consumer.intake import Intake
from consumer.ledger.ledger import Ledger
from consumer.ledger.owner import in_hands
from consumer.smtp.relays import Relays
from consumer.worker import Worker
from dev.processes import free_ports
from publisher_lib.confirms import ConfirmedPublisher
from publisher_lib.routing import DEAD_EXCHANGE, EXCHANGE, RETRY_EXCHANGE, Lane
from tests.ledger.stores import RETENTION, SqlitePlace, wanted
from tests.support.broker import LADDER, VirtualHost
from tests.support.consumer_process import wait_until
from tests.support.deliveries import Deliveries
from tests.support.smtp_script import by_recipient, say
from tests.support.smtp_server import smtp_server
from tests.worker.test_intake import email

SOON_SECONDS = 10.0
ANN, BOB = "ann@example.org", "bob@example.org"


class Office:
    """A desk and all it works with; the deliveries go where the test takes them from."""

    def __init__(self, vhost: VirtualHost, relay_url: str, folder: Path) -> None:
        place = SqlitePlace(folder / "ledger.sqlite3")
        self.mine, self.other = place.process(), place.process()
        self.ledger = Ledger(self.mine.store, self.mine.notes, RETENTION)
        self.deliveries = Deliveries()
        self.records: list[Handled] = []
        self.copies: list[tuple[Lane, str]] = []
        self.consumer = Consumer((vhost.url,), topology(LADDER), 10)
        self.publisher = ConfirmedPublisher((vhost.url,))
        login = f"hopmail-{vhost.name}"
        self.settler = Settler(self.consumer, self.publisher, login)
        self.relays = Relays([RelayURL.parse(relay_url)], folder)
        self.transactor = self.relays.transactor(threading.Event())
        self.worker = Worker(
            RetryPolicy(LADDER, timedelta(days=1)),
            frozenset({login}),
            lambda: datetime.now(UTC),
            RETENTION,
        )
        hands, self.inbox = self.mine.owner, Inbox(1)
        self.intake = Intake(self.worker, self.ledger, hands, self.inbox, self.consumer.is_current)
        self.desk = Desk(
            worker=self.worker,
            ledger=self.ledger,
            hands=hands,
            inbox=self.inbox,
            intake=self.intake,
            consumer=self.consumer,
            settler=self.settler,
            record=self.records.append,
            copied=lambda lane, copy: self.copies.append((lane, copy.exchange)),
        )

    def open(self) -> None:
        """Begin to consume."""
        self.ledger.start(lambda _is_in_trouble: None)
        self.consumer.start(self.deliveries)
        wait_until(lambda: self.consumer.is_connected, SOON_SECONDS, "a connection")

    def close(self) -> None:
        """End everything."""
        assert self.consumer.close(SOON_SECONDS)
        self.publisher.close(1.0)
        self.transactor.close()
        self.relays.stop()
        assert self.ledger.close(SOON_SECONDS)
        self.mine.owner.close()
        self.other.die()

    def take(self) -> Mail:
        """Return the next delivery as a claimed mail."""
        delivery = self.deliveries.take(SOON_SECONDS)
        found = fingerprint(delivery.properties.message_id, delivery.body)
        mail = self.worker.open(delivery, found, 0)
        return replace(mail, claim=self.claim(mail.wanted))

    def claim(self, asked: Wanted | None) -> Claim:
        """Return what we are granted, once all that was handed in before is kept."""
        assert asked is not None
        claims: list[Claim] = []
        came = threading.Event()

        def done(granted: Sequence[Claim]) -> None:
            claims.extend(granted)
            came.set()

        self.ledger.claim([asked], done)
        assert came.wait(SOON_SECONDS)
        return claims[0]

    def claim_elsewhere(self, mail: Mail) -> Claim:
        """Return what another process is granted of a mail now."""
        self.claim(wanted(message_id="to wait for the ledger"))
        assert mail.wanted is not None
        return self.other.claim(mail.wanted)


@pytest.fixture
def office(vhost: VirtualHost, tmp_path: Path) -> Iterator[Office]:
    """Return one whose relay knows no Bob."""
    vhost.declare_topology()
    with ExitStack() as stack:
        refusal = by_recipient({BOB: say("550 5.1.1 unknown")})
        relay = stack.enter_context(smtp_server({"RCPT": refusal}))
        found = Office(vhost, relay.url, tmp_path)
        stack.callback(found.close)
        found.open()
        yield found


@pytest.fixture(autouse=True)
def _again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Publish what was refused again soon, and leave the topology to the test."""
    monkeypatch.setattr(settle_module, "AGAIN_SECONDS", 0.2)
    monkeypatch.setattr(consume_module, "REDECLARE_SECONDS", 3600.0)


def lose(vhost: VirtualHost, exchange: str) -> None:
    with vhost.channel() as channel:
        channel.exchange_delete(exchange)


def wait_for_refusal(caplog: pytest.LogCaptureFixture) -> None:
    wait_until(lambda: "follow-up not confirmed" in caplog.messages, SOON_SECONDS, "a refusal")
    told = [record for record in caplog.records if record.message == "follow-up not confirmed"]
    assert {record.__dict__["message_id"] for record in told} == {"m-1"}


def test_a_mail_that_is_no_longer_ours_is_left_to_whoever_gets_it_anew(
    office: Office, vhost: VirtualHost, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    vhost.publish_raw(email([ANN, BOB]), message_id="m-1")
    mail = office.take()
    lose(vhost, DEAD_EXCHANGE)
    with office.transactor.turn():
        office.desk.handle(0, mail, office.transactor, lambda: None)
    wait_for_refusal(caplog)
    assert office.claim_elsewhere(mail).must_wait, "its dead letter is not on the broker"

    office.consumer.hold("test")
    vhost.close_connections()
    assert office.settler.wait_idle(SOON_SECONDS)

    anew = office.claim_elsewhere(mail)
    assert (anew.granted, anew.skipped) == ((BOB,), {ANN: Standing.DONE})


@pytest.mark.parametrize("returns", [True, False], ids=["to its lane", "aside"])
def test_a_mails_claim_is_kept_until_its_copy_is_on_the_broker(
    office: Office, vhost: VirtualHost, caplog: pytest.LogCaptureFixture, *, returns: bool
) -> None:
    caplog.set_level(logging.ERROR)
    vhost.publish_raw(email(ANN), message_id="m-1")
    mail = office.take()
    for exchange in (EXCHANGE, RETRY_EXCHANGE):
        lose(vhost, exchange)
    (office.desk.return_to_lane if returns else office.desk.set_aside)(mail)
    wait_for_refusal(caplog)
    assert office.claim_elsewhere(mail).must_wait
    assert office.copies == []

    vhost.declare_topology()

    assert office.settler.wait_idle(SOON_SECONDS)
    assert office.claim_elsewhere(mail).granted == (ANN,)
    assert office.deliveries.take(SOON_SECONDS).properties.message_id == "m-1"
    exchange = EXCHANGE if returns else RETRY_EXCHANGE
    assert office.copies == [(Lane.TRANSACTIONAL, exchange)], "told of once it is on the broker"


def test_a_mail_is_told_of_with_the_relay_that_was_asked(
    office: Office, vhost: VirtualHost
) -> None:
    vhost.publish_raw(email([ANN, BOB]), message_id="m-1")
    mail = office.take()
    with office.transactor.turn():
        office.desk.handle(0, mail, office.transactor, lambda: None)
    assert office.settler.wait_idle(SOON_SECONDS)
    wait_until(lambda: office.records, SOON_SECONDS, "the record")

    (handled,) = office.records
    (transaction,) = handled.transactions
    assert (transaction.relay, transaction.word) == (*office.relays.troubles, "refused")


def test_of_a_mail_that_waits_for_a_relay_no_copy_is_told(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    office = Office(vhost, f"smtp://127.0.0.1:{port}?tls=none", tmp_path)
    with ExitStack() as stack:
        stack.callback(office.close)
        office.open()
        vhost.publish_raw(email([ANN, BOB]), message_id="m-1")
        mail = office.take()
        assert mail.claim is not None
        in_doubt = replace(mail, claim=replace(mail.claim, granted=(ANN,), doubtful=(BOB,)))
        with office.transactor.turn():
            office.desk.handle(0, in_doubt, office.transactor, lambda: None)

    (handled,) = office.records
    assert [verdict.recipients for verdict in handled.verdicts] == [(ANN,)]
    assert handled.followups == (), "that of BOB is made when its turn comes again"
    assert [each.word for each in handled.transactions] == ["unreachable"]


def test_what_processes_died_of_is_not_made_ready_beside_another(
    office: Office, vhost: VirtualHost
) -> None:
    vhost.publish_raw(email(ANN), message_id="m-1")
    mail = office.take()

    assert office.desk.prepare(0, mail).composed is not None
    deadly = replace(mail, deaths=ALONE_AFTER_DEATHS)
    assert office.desk.prepare(0, deadly).composed is None


def test_what_is_being_made_ready_is_in_hands(
    office: Office, vhost: VirtualHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bytes, ...]] = []
    folder, composed = office.mine.owner.folder, attempt_module._composed

    def looking(mail: Mail, *rest: Any) -> Composed:
        seen.append(in_hands(folder))
        return composed(mail, *rest)

    monkeypatch.setattr(attempt_module, "_composed", looking)
    vhost.publish_raw(email(ANN), message_id="m-1")
    mail = office.take()

    assert office.desk.prepare(0, mail).composed is not None

    assert seen == [(mail.fingerprint,)], "whose death it would be, should the process end of it"
    assert in_hands(folder) == ()
