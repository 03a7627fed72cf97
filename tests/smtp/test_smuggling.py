"""SMTP smuggling (CVE-2023-51764, -51765, -51766): one mail stays one mail, at any relay."""

import base64
import re
import socket
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import Any, Final, cast

import pytest

from consumer.core.compose import compose
from consumer.core.outcome import Accepted
from consumer.core.relay_url import RelayURL
from consumer.smtp.conversation import LARGEST_WRITE_BYTES
from consumer.smtp.relay import Relay
from publisher_lib.message import Email
from tests.support.lenient_relay import LENIENT, STRICT, LenientRelay, lenient_relay
from tests.support.transacting import yes

EITHER_WAY = pytest.mark.parametrize("pipelining", [True, False], ids=["pipelined", "one by one"])
BARE: Final = re.compile(rb"(?<!\r)\n|\r(?!\n)")
SMUGGLED: Final = (
    "MAIL FROM:<evil@example.org>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nSubject: x"
)
ENDS: Final = tuple(end.decode() for end in LENIENT)
TAILS: Final = (
    *ENDS,
    *("\n..\n", "\r\n..\r\n", "\n.", "\r\n.", "\r", "\n", "\r\n.\r\n.\r\n", "\n.\n.\n"),
)
PLAIN: Final[dict[str, Any]] = {
    "email_to": "ada@example.org",
    "email_from": "app@example.org",
    "subject": "Hello",
    "message": {"text": "Hello"},
}
ENCODED_AS: Final = {
    "7bit": "plain",
    "quoted-printable": "Grüße aus einer Stadt am Rhein, in der wir lange waren",
    "base64": "日本語だけのとても長い文章です" * 5,
}


def texts() -> Iterator[str]:
    for end in TAILS:
        yield f"before{end}{SMUGGLED}{end}"
        yield f"{end}{SMUGGLED}"
        yield f"{end.lstrip()}{SMUGGLED}"


def deliver(relay: LenientRelay, emails: Iterable[dict[str, Any]]) -> int:
    """Send emails over one session; return how many they were."""
    count = 0
    with closing(Relay(RelayURL.parse(relay.url)).transactor()) as transactor:
        for count, data in enumerate(emails, start=1):
            email = Email.model_validate({**PLAIN, **data})
            mail = compose(email, f"m-{count}", datetime(2026, 11, 24, tzinfo=UTC))
            ((_recipient, outcome),) = transactor.transact(mail.envelope, mail.content, yes)
            assert isinstance(outcome, Accepted)
    return count


def assert_as_many(relay: LenientRelay, count: int) -> None:
    """Hold the relay to what was sent: no mail more, no command that is not ours."""
    assert len(relay.mails) == count
    assert relay.commands == [
        relay.commands[0],
        *[b"MAIL FROM:<app@example.org>", b"RCPT TO:<ada@example.org>", b"DATA"] * count,
        b"QUIT",
    ]
    assert not BARE.search(relay.wire)


@EITHER_WAY
@pytest.mark.parametrize("ends", [LENIENT, STRICT], ids=["lenient", "strict"])
@pytest.mark.parametrize("encoding", ENCODED_AS)
def test_no_text_ends_its_mail(encoding: str, ends: tuple[bytes, ...], pipelining: bool) -> None:
    emails = [
        {"message": {part: f"{ENCODED_AS[encoding]}\n{text}"}}
        for text in texts()
        for part in ("text", "html")
    ]

    with lenient_relay(ends, pipelining=pipelining) as relay:
        assert_as_many(relay, deliver(relay, emails))

    for mail in relay.mails:
        assert f"Content-Transfer-Encoding: {encoding}".encode() in mail


def test_a_text_that_begins_or_is_nothing_but_dots_ends_no_mail() -> None:
    emails = [{"message": {"text": text}} for text in (*texts(), ".", "..", ".\n", "\n.", ".\r.")]

    with lenient_relay() as relay:
        assert_as_many(relay, deliver(relay, emails))


def test_no_decoded_text_holds_a_bare_line_end() -> None:
    emails = [
        {"message": {"text": f"{start}\n{text}"}}
        for start in ENCODED_AS.values()
        for text in texts()
    ]

    with lenient_relay() as relay:
        deliver(relay, emails)

    for mail in relay.mails:
        read = message_from_bytes(mail.replace(b"\r\n..", b"\r\n."), policy=policy.default)
        assert not BARE.search(cast("bytes", read.get_payload(decode=True)))


@EITHER_WAY
def test_no_attachment_ends_its_mail(pipelining: bool) -> None:
    emails = [
        {
            "attachments": [
                {
                    "filename": "a.eml",
                    "content_type": "application/octet-stream",
                    "content": base64.b64encode(text.encode()).decode(),
                }
            ]
        }
        for text in texts()
    ]

    with lenient_relay(pipelining=pipelining) as relay:
        assert_as_many(relay, deliver(relay, emails))


@EITHER_WAY
@pytest.mark.parametrize("from_end", [False, True], ids=["first write", "last write"])
def test_no_write_boundary_ends_a_mail(from_end: bool, pipelining: bool) -> None:
    """Move dot lines over the place where one write ends and the next begins."""
    head = len(compose(Email.model_validate(PLAIN), "m-1", datetime.now(UTC)).content)

    def email(shift: int) -> dict[str, Any]:
        filled = LARGEST_WRITE_BYTES - head - 20 + shift
        before, after = (100, filled) if from_end else (filled, LARGEST_WRITE_BYTES)
        lines = ".\n.\r\n\r\n.\r..\n" + SMUGGLED + "\n.\n"
        return {"message": {"text": _filling(before) + lines + _filling(after)}}

    with lenient_relay(pipelining=pipelining) as relay:
        assert_as_many(relay, deliver(relay, map(email, range(45))))


def _filling(length: int) -> str:
    return ("x" * 70 + "\n") * (length // 71) + "x" * (length % 71)


@pytest.mark.parametrize("end", ENDS)
def test_the_lenient_relay_would_be_fooled(end: str) -> None:
    """Show that the server of these tests does take the bait where it is served."""
    with lenient_relay() as relay, socket.create_connection(relay.address) as client:
        client.sendall(f"DATA\r\nbefore{end}{SMUGGLED}\r\n.\r\n".encode())
        client.shutdown(socket.SHUT_WR)
        while client.recv(1000):
            pass

    assert len(relay.mails) == 2
    assert b"MAIL FROM:<evil@example.org>" in relay.commands
