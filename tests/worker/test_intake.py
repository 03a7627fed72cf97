"""From delivery to claimed mail, over a real ledger."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from consumer import intake as intake_module
from consumer.core.contract import MAX_BODY_BYTES
from consumer.core.decide import RetryPolicy
from consumer.core.delivery import Delivery, Properties
from consumer.core.endings import unsettled
from consumer.core.ledger import POISON_AFTER_DEATHS, Ending, Generation, State, fingerprint
from consumer.core.mail import Mail
from consumer.core.outcome import Conflict, Forgotten, NotDue, Poisonous
from consumer.intake import Intake
from consumer.ledger.journal import Journal
from consumer.ledger.ledger import Ledger
from consumer.ledger.owner import Owner
from consumer.ledger.sqlite import SqliteStore, folders_of
from consumer.worker import Worker
from publisher_lib.routing import Lane
from tests.support.consumer_process import wait_until

DAY = timedelta(days=1)
SOON_SECONDS = 10.0


def email(to: str | list[str] = "a@example.org", **fields: object) -> bytes:
    known = {
        "email_to": to,
        "email_from": "app@example.org",
        "subject": "Hi",
        "message": {"text": "Hello"},
    }
    return json.dumps(known | fields).encode()


class Mails:
    """Stands where the inbox stands."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []

    def put(self, *mails: Mail) -> None:
        self.mails.extend(mails)

    def clear(self) -> list[Mail]:
        mails, self.mails = self.mails, []
        return mails


class Process:
    """A process up to its inbox."""

    def __init__(self, path: Path) -> None:
        self.owner = Owner(folders_of(path), 1)
        self.ledger = Ledger(
            SqliteStore(path, self.owner.name), Journal(self.owner.folder), 14 * DAY
        )
        self.inbox = Mails()
        self.lost_generation = 0
        worker = Worker(
            RetryPolicy((timedelta(seconds=1),), DAY),
            frozenset({"hopmail"}),
            lambda: datetime.now(UTC),
            14 * DAY,
        )
        self.intake = Intake(
            worker,
            self.ledger,
            self.owner,
            self.inbox,
            lambda delivery: delivery.generation > self.lost_generation,
        )
        self.ledger.start(lambda _is_in_trouble: None)
        self.intake.start()

    def put(self, body: bytes, message_id: str = "m-1", **fields: object) -> None:
        """Take in a delivery."""
        properties = Properties(message_id=message_id, type="email.v1")
        delivery = Delivery(
            Lane.TRANSACTIONAL,
            1,
            1,
            redelivered=False,
            properties=properties,
            body=body,
            received_seconds=0.0,
        )
        self.intake.put(replace(delivery, **fields))  # type: ignore[arg-type]  # a record's fields

    def mail(self, count: int = 1) -> Mail:
        """Return the last of so many mails."""
        wait_until(lambda: len(self.inbox.mails) == count, SOON_SECONDS, "a mail")
        return self.inbox.mails[-1]

    def end(self, mail: Mail, state: State) -> None:
        """End a mail's claim."""
        assert mail.claim is not None
        kept = threading.Event()
        ending = Ending(state, Generation(0, 1))
        self.ledger.end(mail.claim, dict.fromkeys(mail.claim.held, ending), kept.set)
        assert kept.wait(SOON_SECONDS)

    def die(self) -> None:
        self.intake.close()
        self.ledger.close(SOON_SECONDS)
        self.owner.close()
        self.intake.join(SOON_SECONDS)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "LOOK_AGAIN_SECONDS", 0.1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest.fixture
def process(path: Path) -> Iterator[Process]:
    found = Process(path)
    yield found
    found.die()


def test_a_mail_comes_with_its_claim(process: Process) -> None:
    process.put(email())

    mail = process.mail()

    assert mail.claim is not None
    assert mail.claim.granted == ("a@example.org",)
    assert mail.email is not None


def test_what_is_no_email_needs_no_claim(process: Process) -> None:
    process.put(b"{}")

    mail = process.mail()

    assert (mail.email, mail.claim, mail.foregone) == (None, None, None)


def test_before_its_time_a_mail_claims_nothing(process: Process) -> None:
    process.put(email(send_at="2099-01-01T00:00:00Z"))

    mail = process.mail()

    assert isinstance(mail.foregone, NotDue)
    assert mail.claim is None


def test_another_body_is_a_conflict(process: Process) -> None:
    process.put(email())
    process.mail()
    process.put(email("b@example.org"))

    assert process.mail(2).foregone == Conflict()


def test_a_copy_waits_for_another_process_and_gets_what_that_left(
    process: Process, path: Path
) -> None:
    other = Process(path)
    other.put(email())
    theirs = other.mail()
    process.put(email())
    process.put(email("b@example.org"), "m-2")
    assert process.mail().claim is not None, "others do not wait"

    other.end(theirs, State.ACCEPTED)

    mail = process.mail(2)
    assert mail.claim is not None
    assert mail.claim.held == ()
    assert set(mail.claim.skipped) == {"a@example.org"}
    other.die()


def test_what_waits_too_long_is_taken_out(process: Process, path: Path) -> None:
    other = Process(path)
    other.put(email())
    other.mail()
    for received in (1.0, 3.0):
        process.put(email(), received_seconds=received)
    taken: list[Mail] = []

    def look() -> bool:
        taken.extend(process.intake.take_older_than(2.0))
        return bool(taken)

    wait_until(look, what="the old one")

    assert [mail.delivery.received_seconds for mail in taken] == [1.0]
    other.die()
    assert process.mail().delivery.received_seconds == 3.0


def test_a_lost_connection_lets_go_of_what_was_claimed(process: Process, path: Path) -> None:
    process.put(email())
    process.mail()
    process.lost_generation = 1

    process.intake.clear()

    other = Process(path)
    other.put(email(), generation=2)
    mail = other.mail()
    assert mail.claim is not None
    assert mail.claim.granted == ("a@example.org",)
    other.die()


def test_a_delivery_of_a_lost_connection_claims_nothing(process: Process) -> None:
    process.lost_generation = 1
    process.put(email())
    process.put(email(), generation=2)

    assert process.mail().delivery.generation == 2


def test_what_processes_died_of_is_alone_and_then_dead(process: Process, path: Path) -> None:
    body = email()
    for deaths in range(1, POISON_AFTER_DEATHS + 1):
        dying = Owner(folders_of(path), 1)
        dying.take(0, fingerprint("m-1", body))
        dying.close()
        process.put(body, redelivered=True)
        mail = process.mail(deaths)
        assert mail.deaths == deaths
        assert mail.must_be_alone == (deaths >= 3)
        if mail.claim is not None:
            process.intake.release(mail)

    assert mail.foregone == Poisonous(POISON_AFTER_DEATHS)
    assert mail.claim is None


def test_what_processes_died_of_comes_after_what_is_delivered_with_it(
    process: Process, path: Path
) -> None:
    deadly = email()
    dying = Owner(folders_of(path), 1)
    dying.take(0, fingerprint("m-1", deadly))
    dying.close()
    received = time.monotonic() + 1.0

    process.put(deadly, redelivered=True, received_seconds=received)
    process.put(email("b@example.org"), "m-2", received_seconds=received)

    process.mail(2)
    assert [mail.deaths for mail in process.inbox.mails] == [0, 1]


def test_older_than_the_ledger_remembers_it_is_not_sent(process: Process) -> None:
    long_ago = int((datetime.now(UTC) - 15 * DAY).timestamp())
    properties = Properties(message_id="m-1", type="email.v1", timestamp_seconds=long_ago)
    process.put(email(), properties=properties)

    assert process.mail().foregone == Forgotten(14 * DAY)


def test_scheduled_for_now_long_ago_it_is_not_too_old(process: Process) -> None:
    long_ago = int((datetime.now(UTC) - 15 * DAY).timestamp())
    properties = Properties(message_id="m-1", type="email.v1", timestamp_seconds=long_ago)
    due = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    process.put(email(send_at=due), properties=properties)

    assert process.mail().foregone is None


def test_who_replays_an_old_one_answers_for_it(process: Process) -> None:
    headers = {
        "x-hopmail-first-published-ms": int((datetime.now(UTC) - 15 * DAY).timestamp()) * 1000,
        "x-hopmail-epoch": 1,
    }
    properties = Properties(message_id="m-1", type="email.v1", user_id="hopmail", headers=headers)
    process.put(email(), properties=properties)

    assert process.mail().foregone is None


def test_a_body_too_large_is_not_even_read(process: Process) -> None:
    process.put(b" " * (MAX_BODY_BYTES + 1))

    assert process.mail().email is None


def test_what_is_released_was_not_sent(process: Process) -> None:
    process.put(email())
    first = process.mail()
    assert first.claim is not None
    assert {each.state for each in unsettled(first.claim).values()} == {State.OPEN}
    process.intake.release(first)
    process.put(email())

    second = process.mail(2)

    assert second.claim is not None
    assert second.claim.granted == ("a@example.org",)
