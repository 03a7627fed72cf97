"""Hostile bodies and properties: each one is sent as the contract says, or a dead letter."""

import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any, Final

import pytest
from pika import exceptions
from pydantic import ValidationError

from consumer.core.topology import DEAD_QUEUE, topology
from publisher_lib.message import Email
from publisher_lib.routing import EXCHANGE, PUBLISHED_AT_MS, Lane
from tests.faults import results
from tests.support.broker import LADDER, Message, VirtualHost
from tests.support.consumer_process import ConsumerProcess, consuming, wait_until
from tests.support.hostile_bodies import CANARY, DOMAIN, MEBIBYTE, HostileBodies
from tests.support.hostile_properties import Choice, HostileProperties
from tests.support.smtp_server import SmtpServer, smtp_server

SEED: Final = "HOPMAIL_FUZZ_SEED"
BATCH: Final = 250
BATCH_SECONDS: Final = 120.0
MESSAGE_ID: Final = re.compile(rb"^Message-ID: <([^@>\r]+)@", re.MULTILINE)
BARE: Final = re.compile(rb"(?<!\r)\n|\r(?!\n)")

OF_PROPERTIES: Final = frozenset(
    {"invalid", "missing_message_id", "unsupported_type", "unsupported_content"}
)
TOO_OLD: Final = "too_old"
UNTRUSTED: Final = "untrusted_headers"
OF_BODIES: Final = frozenset({"invalid", "invalid_json", "too_large"})

PUBLISHED_AT: Final = PUBLISHED_AT_MS.encode()

ADDRESS: Final = re.compile(r"(?<!\*\*\*)@" + re.escape(DOMAIN))
"""Logs show whom a mail went to as `a***@example.org`."""

MAX_GROWTH_BYTES: Final = 64 * MEBIBYTE
"""In the second half, once every session has met the largest bodies: 6 KB for each of 10 000."""

MAX_PEAK_BYTES: Final = 384 * MEBIBYTE


@dataclass(frozen=True)
class Case:
    """One message, and the mail that it asks for where it is one of the contract."""

    key: str
    body: bytes
    choice: Choice
    email: Email | None

    @property
    def is_to_be_sent(self) -> bool:
        """Whether the contract says so: the model's verdict on the body, ours on the rest."""
        return self.choice.are_readable and self.email is not None

    @property
    def may_be_sent(self) -> bool:
        """Whether it may: RabbitMQ may have mended its table."""
        return self.is_to_be_sent or not (self.choice.are_decodable or self.email is None)

    @property
    def may_be_too_old(self) -> bool:
        """Whether it says that it was published before the ledger's memory begins."""
        properties = self.choice.properties
        return properties.timestamp == 1 or PUBLISHED_AT in (properties.table or b"")

    @property
    def reasons(self) -> frozenset[str]:
        """Why it is to be a dead letter."""
        if not self.choice.are_decodable:
            # From 4.0 on RabbitMQ writes the table anew, and may leave out what was wrong with it.
            return frozenset({"undecodable_properties"}) | OF_BODIES | OF_PROPERTIES
        if self.choice.are_forged:
            return frozenset({UNTRUSTED})
        return OF_BODIES if self.choice.are_readable else OF_PROPERTIES


def cases(seed: int) -> Iterator[Case]:
    """Make cases without end."""
    random = Random(seed)  # noqa: S311 - a seed must give the same cases again
    bodies, properties = HostileBodies(random), HostileProperties(random)
    number = 0
    while True:
        body = bodies.next()
        email = verdict(body)
        if email is None or not (email.send_at or email.expires_at):
            number += 1
            key = f"fuzz-{number}"
            yield Case(key, body, properties.next(key), email)


def verdict(body: bytes) -> Email | None:
    """Return what the contract's model reads."""
    try:
        return Email.model_validate_json(body)
    except ValidationError:
        return None


class Fuzz:
    """Publishes cases as an app that nobody trusts, and accounts for each."""

    def __init__(self, vhost: VirtualHost, relay: SmtpServer, process: ConsumerProcess) -> None:
        self.sent = self.dead = self.refused = 0
        self._vhost = vhost
        self._relay = relay
        self._process = process
        self._connection = ExitStack()
        self._channel: Any = None

    def run_until(self, stream: Iterator[Case], count: int) -> None:
        """Publish batches until the broker has taken `count` messages in all."""
        while self.sent + self.dead < count:
            self._run(islice(stream, BATCH))

    def _run(self, batch: Iterable[Case]) -> None:
        """Publish a batch, wait until each message has met its fate, and check that."""
        taken: dict[str, Case] = {}
        for case in batch:
            if self._publish(case):
                taken[case.key] = case
            else:
                self.refused += 1
        letters: list[Message] = []

        def are_accounted_for() -> bool:
            letters.extend(self._vhost.take_all(DEAD_QUEUE))
            return len(letters) + len(self._relay.mails) >= len(taken)

        try:
            wait_until(are_accounted_for, BATCH_SECONDS, "the fate of every message")
        finally:
            self._check_letters(taken, letters)
            self._check_mails(taken)

    def close(self) -> None:
        """Leave the broker."""
        self._connection.close()

    def _publish(self, case: Case) -> bool:
        """Return whether the broker took it; for what it cannot take it closes the line."""
        if self._channel is None or self._channel.is_closed:
            self._connection.close()
            self._channel = self._connection.enter_context(self._vhost.channel(self._vhost.app_url))
            self._channel.confirm_delivery()
        lane = Lane.BULK if case.key.endswith("7") else Lane.TRANSACTIONAL
        try:
            self._channel.basic_publish(
                EXCHANGE, lane, case.body, case.choice.properties, mandatory=True
            )
        except exceptions.AMQPError:
            return False
        return True

    def _check_letters(self, taken: dict[str, Case], letters: list[Message]) -> None:
        for letter in letters:
            case = taken.pop(letter.properties.app_id)
            reason = letter.headers["x-hopmail-reason"]
            if reason == TOO_OLD:
                assert case.may_be_sent, (case.key, letter.headers)
                assert case.may_be_too_old, (case.key, letter.headers)
            else:
                assert not case.is_to_be_sent, (case.key, letter.headers)
                assert reason in case.reasons, (case.key, letter.headers)
            if reason == UNTRUSTED:
                assert letter.properties.user_id is None, case.key
            else:
                assert letter.headers["x-hopmail-attempt"] == 1, case.key
            assert letter.body == case.body, case.key
        self.dead += len(letters)

    def _check_mails(self, taken: dict[str, Case]) -> None:
        """Find each mail that was to be sent once, and nothing else, among those that came."""
        due = {str(case.choice.message_id): case for case in taken.values()}
        mails = self._relay.forget()
        for mail in mails:
            found = MESSAGE_ID.search(mail.content)
            assert found
            case = due.pop(found[1].decode())
            assert case.may_be_sent, case.key
            assert case.email is not None
            assert mail.sender == case.email.sender.address
            assert mail.recipients == case.email.recipients
            assert not BARE.search(mail.content)
        assert due == {}, "lost"
        self.sent += len(mails)


@pytest.mark.faults(25, "hostile bodies and properties")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "count", [pytest.param(500, marks=pytest.mark.fault_smoke), pytest.param(20_000)]
)
def test_whatever_comes_is_sent_by_the_contract_or_a_dead_letter(
    case: results.Case, vhost: VirtualHost, caplog: pytest.LogCaptureFixture, count: int
) -> None:
    # Its records keep every connection that the broker closed.
    caplog.set_level(logging.CRITICAL, logger="pika")
    seed = int(os.environ.get(SEED, count))
    print(f"{SEED}={seed}")  # noqa: T201 - to run the same cases again
    stream = cases(seed)
    with (
        smtp_server() as relay,
        consuming(vhost.url, relay.url) as process,
        closing(Fuzz(vhost, relay, process)) as fuzz,
    ):
        fuzz.run_until(stream, count // 2)
        half_way_bytes = process.rss_bytes()
        fuzz.run_until(stream, count)
        after_bytes, peak_bytes = process.rss_bytes(), process.peak_rss_bytes()
        assert process.is_alive
        told = process.raw[:]
        lost = process.events("broker connection lost")
        process.terminate()
        assert relay.mails == []

    figures = (
        f"{fuzz.sent=} {fuzz.dead=} {fuzz.refused=} {half_way_bytes=} {after_bytes=} {peak_bytes=}"
    )
    print(figures)  # noqa: T201 - what the results page tells
    assert fuzz.sent > count / 20
    assert fuzz.dead > count / 2
    assert lost == []
    assert_all_queues_are_empty(vhost)
    assert after_bytes - half_way_bytes < MAX_GROWTH_BYTES, figures
    assert peak_bytes < MAX_PEAK_BYTES, figures
    assert [line for line in told if CANARY in line or ADDRESS.search(line)] == []
    save_result(case, vhost, fuzz)


def save_result(case: results.Case, vhost: VirtualHost, fuzz: Fuzz) -> None:
    """Give the results page its row, in messages; what the broker refused was not published."""
    taken = fuzz.sent + fuzz.dead
    results.Result(
        case=case,
        workers=1,
        faults=taken + fuzz.refused,
        figures={
            "attempted": taken + fuzz.refused,
            "confirmed": taken,
            "failed": fuzz.refused,
            "accepted": fuzz.sent,
            "dead": fuzz.dead,
            "lost": 0,
            "duplicated": 0,
        },
        broken=[],
        recovery_seconds=None,
        broker=str(vhost.broker.request("GET", "overview")["rabbitmq_version"]),
    ).save()


def assert_all_queues_are_empty(vhost: VirtualHost) -> None:
    for queue in topology(LADDER).queues:
        assert vhost.queue_depth(queue.name) == 0, queue.name
