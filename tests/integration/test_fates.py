"""Every stage of a conversation with the relay, all that can go wrong there, from queue to fate."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest

from consumer.core.topology import DEAD_QUEUE, lane_queue
from publisher_lib.routing import Lane
from tests.support.broker import VirtualHost
from tests.support.certificates import authority
from tests.support.consumer_process import consuming, wait_until
from tests.support.smtp_script import (
    Event,
    garbage,
    hang_up,
    reset,
    say,
    silence,
)
from tests.support.smtp_server import SmtpServer, smtp_server

QUEUE: Final = lane_queue(Lane.TRANSACTIONAL)
BEFORE_MAIL: Final = ("GREETING", "EHLO", "STARTTLS", "AUTH")
TRANSACTION: Final = ("MAIL", "RCPT", "DATA", "END_OF_DATA")
QUICK: Final[dict[str, Any]] = {"timeout": 0.5, "data_timeout": 0.7, "connect_timeout": 1}
MECHANISMS: Final = ("PLAIN", "LOGIN")
USERS: Final = {"hopmail": "s3cret"}

EVENTS: Final[dict[str, Callable[[], Event]]] = {
    "4yz": lambda: say("451 4.7.1 later"),
    "5yz": lambda: say("550 5.7.1 no"),
    "421 and close": lambda: hang_up("421 4.3.2 closing"),
    "silence": silence,
    "garbage": garbage,
    "lost": hang_up,
}


def email(*recipients: str, **more: object) -> bytes:
    return json.dumps(
        {
            "email_to": list(recipients) or "ada@example.org",
            "email_from": "app@example.org",
            "subject": "Hello",
            "message": {"text": "Hello"},
            **more,
        }
    ).encode()


@dataclass(frozen=True)
class Story:
    """What became of one message."""

    lines: list[dict[str, Any]]
    server: SmtpServer

    @property
    def dispositions(self) -> list[str]:
        return [line["disposition"] for line in self.lines]

    @property
    def attempts(self) -> list[int]:
        return [line["attempt"] for line in self.lines]


def tell(vhost: VirtualHost, server: SmtpServer, body: bytes, *, ends: str) -> Story:
    """Have a consumer handle one message until its line says `ends`."""
    url = server.url_with("hopmail:s3cret" if server.users else "", **QUICK)
    with consuming(vhost.url, url) as process:
        vhost.publish_raw(body, message_id="m-1")
        wait_until(
            lambda: ends in [line["disposition"] for line in process.handled("m-1")],
            20,
            f"{ends}: {process.raw}",
        )
        # Stopped in order, it settles what it told of.
        assert process.terminate() == 0
        return Story(process.handled("m-1"), server)


@pytest.mark.parametrize("stage", [*BEFORE_MAIL, *TRANSACTION])
def test_where_all_goes_well_the_message_is_accepted_once(vhost: VirtualHost, stage: str) -> None:
    with relay(stage) as server:
        story = tell(vhost, server, email(), ends="ack")

    assert story.dispositions == ["ack"]
    assert len(server.mails) == 1
    assert vhost.take_all(DEAD_QUEUE) == []


@contextmanager
def relay(stage: str, *events: Event) -> Iterator[SmtpServer]:
    """Serve with `events` at `stage`, one after the other, and as it should be from then on."""
    rules = {stage: events} if events else {}
    with ExitStack() as stack:
        tls: dict[str, Any] = {}
        if stage == "STARTTLS":
            signed = stack.enter_context(authority())
            tls = {"starttls": signed.context(), "cafile": signed.cafile}
        users = USERS if stage == "AUTH" else None
        yield stack.enter_context(smtp_server(rules, users=users, **tls))


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("stage", BEFORE_MAIL)
def test_trouble_before_mail_pauses_and_spends_no_attempt(
    vhost: VirtualHost, stage: str, event: str
) -> None:
    # A refused login is tried by the next mechanism too.
    times = len(MECHANISMS) if stage == "AUTH" and event in {"4yz", "5yz"} else 1
    with relay(stage, *[EVENTS[event]() for _ in range(times)]) as server:
        story = tell(vhost, server, email(), ends="ack")

    if (stage, event) == ("EHLO", "5yz"):
        assert story.dispositions == ["ack"], "HELO serves where EHLO is unknown"
    else:
        assert story.dispositions == ["pause", "ack"]
        assert story.lines[0]["stage"] == stage
    assert set(story.attempts) == {1}
    assert len(server.mails) == 1
    assert vhost.take_all(DEAD_QUEUE) == []


@pytest.mark.parametrize("event", [event for event in EVENTS if event != "5yz"])
@pytest.mark.parametrize("stage", TRANSACTION)
def test_trouble_with_a_message_is_tried_again(vhost: VirtualHost, stage: str, event: str) -> None:
    with relay(stage, EVENTS[event]()) as server:
        story = tell(vhost, server, email(), ends="ack")

    assert story.dispositions == ["retry", "ack"]
    assert story.attempts == [1, 2]
    assert story.lines[0]["stage"] == stage
    assert len(server.mails) == 1
    assert vhost.take_all(DEAD_QUEUE) == []


@pytest.mark.parametrize("stage", TRANSACTION)
def test_a_permanent_refusal_is_a_dead_letter_that_names_the_stage(
    vhost: VirtualHost, stage: str
) -> None:
    with relay(stage, say("550 5.7.1 not from you <ada@example.org>")) as server:
        story = tell(vhost, server, email(), ends="dead_letter")
        (dead,) = vhost.dead_letters(1)

    assert story.dispositions == ["dead_letter"]
    assert dead.headers["x-hopmail-reason"] == "refused"
    assert dead.detail == {
        "stage": stage,
        "code": 550,
        "enhanced": "5.7.1",
        "text": "not from you <ada@example.org>",
    }
    assert dead.headers["x-hopmail-pending"] == ["ada@example.org"]
    assert dead.body == email()
    assert server.mails == []


@pytest.mark.parametrize("event", ["silence", "garbage", "lost"])
def test_in_doubt_with_hold_is_a_dead_letter_and_not_sent_again(
    vhost: VirtualHost, event: str
) -> None:
    with relay("END_OF_DATA", EVENTS[event]()) as server:
        tell(vhost, server, email(if_uncertain="hold"), ends="dead_letter")
        (dead,) = vhost.dead_letters(1)

    assert dead.headers["x-hopmail-reason"] == "in_doubt"
    assert dead.detail["stage"] == "END_OF_DATA"
    assert len(server.dotted) == 1


def test_a_connection_reset_after_the_dot_is_in_doubt_too(vhost: VirtualHost) -> None:
    with relay("END_OF_DATA", reset()) as server:
        tell(vhost, server, email(if_uncertain="hold"), ends="dead_letter")
        (dead,) = vhost.dead_letters(1)

    assert dead.headers["x-hopmail-reason"] == "in_doubt"


def test_a_message_deferred_at_every_attempt_ends_as_a_dead_letter(vhost: VirtualHost) -> None:
    later = say("451 4.7.1 later")
    with smtp_server({"RCPT": later}) as server:
        story = tell(vhost, server, email(), ends="dead_letter")
        (dead,) = vhost.dead_letters(1)

    assert story.dispositions == ["retry", "retry", "dead_letter"]
    assert story.attempts == [1, 2, 3]
    assert dead.headers["x-hopmail-reason"] == "attempts_exhausted"
    assert dead.headers["x-hopmail-attempt"] == 3
    assert (dead.detail["stage"], dead.detail["code"]) == ("RCPT", 451)
    waited = (
        dead.headers["x-hopmail-last-attempt-ms"] - dead.headers["x-hopmail-first-published-ms"]
    )
    assert waited >= 3_000


def test_recipients_are_settled_one_by_one(vhost: VirtualHost) -> None:
    deferred = [say("450 4.2.0 later")]

    def answer(argument: str) -> Event | None:
        if "second@" in argument:
            return deferred.pop() if deferred else None
        return say("550 5.1.1 nobody") if "third@" in argument else None

    names = ("first@example.org", "second@example.org", "third@example.org")
    with smtp_server({"RCPT": answer}) as server:
        tell(vhost, server, email(*names), ends="ack")
        (dead,) = vhost.dead_letters(1)

    assert [mail.recipients for mail in server.mails] == [(names[0],), (names[1],)]
    assert dead.headers["x-hopmail-pending"] == [names[2]]
    assert (dead.detail["stage"], dead.detail["code"]) == ("RCPT", 550)
    first, second = server.mails
    assert first.content == second.content, "the retry is the same mail, headers and all"


def test_a_copy_signed_by_a_former_login_goes_on_where_it_was(vhost: VirtualHost) -> None:
    former = f"webapp-{vhost.name}"
    headers = {
        "x-hopmail-attempt": 2,
        "x-hopmail-pending": ["second@example.org"],
        "x-hopmail-login": "shop",
    }

    def publish(message_id: str) -> None:
        copy = email("first@example.org", "second@example.org")
        vhost.publish_raw(
            copy, url=vhost.app_url, user_id=former, message_id=message_id, headers=headers
        )

    with smtp_server() as server:
        with consuming(vhost.url, server.url, operator_logins=former) as process:
            publish("known")
            wait_until(lambda: process.handled("known"), what="the copy")
        with consuming(vhost.url, server.url):
            publish("unknown")
            (dead,) = vhost.dead_letters(1)

        assert dead.headers["x-hopmail-reason"] == "untrusted_headers"
        assert dead.properties.user_id is None

        # Sent again by hand, as README says.
        with consuming(vhost.url, server.url) as process:
            vhost.publish_raw(
                dead.body,
                url=vhost.url,
                user_id=f"hopmail-{vhost.name}",
                message_id="unknown",
                lane=dead.headers["x-hopmail-lane"],
                headers=dead.headers,
            )
            wait_until(lambda: process.handled("unknown"), what="the dead letter")

    assert [mail.recipients for mail in server.mails] == [("second@example.org",)] * 2


def test_a_relay_that_wants_a_login_for_one_sender_only_delays_nobody_else(
    vhost: VirtualHost,
) -> None:
    def answer(argument: str) -> Event | None:
        return say("530 5.7.0 log in first") if "poison@" in argument else None

    with smtp_server({"MAIL": answer}) as server, consuming(vhost.url, server.url) as process:
        vhost.publish_raw(email(email_from="poison@example.org"), message_id="poison")
        wait_until(lambda: process.handled("poison"), what="the first attempt")
        for number in range(5):
            vhost.publish_raw(email(), message_id=f"m-{number}")
        wait_until(lambda: len(server.mails) == 5, 30, "the others")
        (dead,) = vhost.dead_letters(1, 40)

    assert dead.properties.message_id == "poison"
    assert dead.headers["x-hopmail-reason"] == "attempts_exhausted"
    assert (dead.detail["stage"], dead.headers["x-hopmail-attempt"]) == ("AUTH", 3)


def test_a_relay_that_is_down_loses_nothing_and_dead_letters_nothing(vhost: VirtualHost) -> None:
    with smtp_server() as server:
        server.stop()
        with consuming(vhost.url, server.url_with(**QUICK)) as process:
            vhost.publish_raw(email(), message_id="m-0")
            wait_until(lambda: process.events("relay in trouble"), what="the breaker")
            for number in range(1, 20):
                vhost.publish_raw(email(), message_id=f"m-{number}")
            # A delivery or two may come before the broker has read our cancel.
            assert vhost.queue_depth(QUEUE) > 15, "consuming goes on"
            server.start()
            wait_until(lambda: len(server.mails) == 20, 30, "all mails")
            wait_until(lambda: vhost.unsettled(QUEUE) == 0, 10, "the acks")
            attempts = {line["attempt"] for line in process.events("handled")}

    assert attempts == {1}
    assert vhost.take_all(DEAD_QUEUE) == []
