"""A session's thread, and the mail it has in hand beside the one that is being sent."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from consumer import session_thread as session_thread_module
from consumer.core.mail import Mail
from consumer.core.outcome import Stage, Unreachable
from consumer.core.relay_options import LONGEST_TIMEOUT_SECONDS
from consumer.session_thread import LONGEST_HOLD_SECONDS, LONGEST_WAIT_SECONDS, SessionThread
from consumer.smtp.relay import LONGEST_BEFORE_DOT_SECONDS
from tests.support.broker import VirtualHost
from tests.support.consumer_process import wait_until
from tests.support.smtp_script import Event, hang_up
from tests.support.smtp_server import SmtpServer, smtp_server
from tests.worker.test_desk import SOON_SECONDS, Office
from tests.worker.test_intake import email

TROUBLE = Unreachable(Stage.CONNECT, "met by another session")


BROKERS_PATIENCE_SECONDS = 30 * 60.0
SETTLING_SECONDS = 60.0


class Line:
    """One session's thread, to which three mails wait; the last is told ahead with the second."""

    def __init__(self, office: Office, server: SmtpServer, vhost: VirtualHost) -> None:
        self.office = office
        self.server = server
        self.stop = threading.Event()
        for number in range(3):
            vhost.publish_raw(email(f"r{number}@example.org"), message_id=f"m-{number}")
        self.mails = [office.take() for _ in range(3)]
        self.thread = SessionThread(
            0,
            inbox=office.inbox,
            desk=office.desk,
            release=office.intake.release,
            is_current=office.consumer.is_current,
            relays=office.relays,
            stop=self.stop,
        )

    def start(self, *mails: Mail) -> None:
        """Have these mails sent."""
        self.office.inbox.put(*mails)
        self.thread.start()

    @property
    def told(self) -> list[str]:
        """Of whom the relay was told, in this order, sent or not."""
        return [each for each in self.server.commands if each.startswith("RCPT")]

    @property
    def sent(self) -> list[tuple[str, ...]]:
        """To whom mails were sent, in this order."""
        return [each.recipients for each in self.server.mails]


@pytest.fixture
def line(vhost: VirtualHost, tmp_path: Path) -> Iterator[Line]:
    """Return one that has not started."""
    vhost.declare_topology()
    with ExitStack() as stack:
        server = stack.enter_context(smtp_server())
        office = Office(vhost, server.url, tmp_path)
        stack.callback(office.close)
        office.open()
        found = Line(office, server, vhost)
        yield found
        found.stop.set()
        office.inbox.close()
        assert found.thread.join(SOON_SECONDS)


def at_the_second_dot(act: Callable[[], None]) -> Callable[[str], Event | None]:
    """Return a rule that does something then, and answers as it should."""
    dots = 0

    def rule(_argument: str) -> Event | None:
        nonlocal dots
        dots += 1
        if dots == 2:
            act()
        return None

    return rule


def test_a_mail_in_hand_goes_back_when_the_relays_are_in_trouble(line: Line) -> None:
    def fall_into_trouble() -> None:
        line.server.script["CONNECT"] = hang_up()
        line.office.relays.members[0].breaker.open(TROUBLE)

    line.server.script["END_OF_DATA"] = at_the_second_dot(fall_into_trouble)
    line.start(*line.mails)

    wait_until(lambda: len(line.told) == 3, SOON_SECONDS, "it to be told ahead")
    wait_until(lambda: len(line.office.inbox) == 1, SOON_SECONDS, "it to wait where others look")
    wait_until(lambda: line.server.open_sessions == 0, SOON_SECONDS, "no relay waits for it")
    assert line.office.relays.is_open

    line.server.script.clear()

    wait_until(lambda: len(line.sent) == 3, SOON_SECONDS, "the third mail")
    assert line.sent == [(f"r{number}@example.org",) for number in range(3)]


def test_a_mail_that_was_in_hand_for_too_long_goes_back_to_its_lane(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_thread_module, "LONGEST_WAIT_SECONDS", 2 * LONGEST_HOLD_SECONDS)
    first, second, third = line.mails
    long_ago = time.monotonic() - LONGEST_HOLD_SECONDS - 1
    waited = replace(third, delivery=replace(third.delivery, received_seconds=long_ago))

    line.start(first, second, waited)

    copy = line.office.deliveries.take(SOON_SECONDS)
    assert copy.properties.message_id == "m-2"
    assert len(line.told) == 3, "it was told ahead"
    assert len(line.sent) == 2, "its own transaction could outlast the broker's patience"
    assert line.office.settler.wait_idle(SOON_SECONDS)
    assert line.office.claim_elsewhere(third).granted == ("r2@example.org",)
    wait_until(lambda: line.server.open_sessions == 0, SOON_SECONDS, "no relay waits for it")


def test_nothing_is_held_for_longer_than_the_broker_allows() -> None:
    at_either_relay = 2 * LONGEST_BEFORE_DOT_SECONDS
    transaction = at_either_relay + LONGEST_TIMEOUT_SECONDS + SETTLING_SECONDS

    assert LONGEST_HOLD_SECONDS + transaction < BROKERS_PATIENCE_SECONDS
    assert LONGEST_WAIT_SECONDS + transaction < BROKERS_PATIENCE_SECONDS, "of the mail before it"
