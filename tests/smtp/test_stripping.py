"""What somebody between us and the relay may try: STARTTLS taken away, TLS with their own key."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from consumer.core.outcome import Stage, TransactionOutcome, Unreachable
from tests.support.certificates import Authority
from tests.support.flawed_certificates import FLAWS, flawed_context
from tests.support.smtp_script import Event, Rule, hang_up, say
from tests.support.smtp_server import SmtpServer, smtp_server
from tests.support.transacting import ANN, transact

LOGIN = "app:s3cr%25t"
USERS = {"app": "s3cr%t"}


def trouble(outcome: TransactionOutcome) -> Unreachable:
    assert isinstance(outcome, Unreachable)
    return outcome


def assert_told_no_more_than(server: SmtpServer, *verbs: bytes) -> None:
    """Hold the plaintext to these commands, and the relay to no login and no mail."""
    said = [line.split()[0] for line in server.plaintext.upper().splitlines() if line.strip()]
    assert [verb for verb in said if verb.isalpha()] == list(verbs)
    assert server.logins == []
    assert server.dotted == []


@pytest.mark.parametrize("implicit", [True, False], ids=["smtps", "starttls"])
@pytest.mark.parametrize("flaw", FLAWS)
def test_a_certificate_with_a_flaw_ends_it(ca: Authority, implicit: bool, flaw: str) -> None:
    context = flawed_context(ca.ca, flaw)
    with smtp_server(
        starttls=None if implicit else context,
        implicit_tls=context if implicit else None,
        cafile=ca.cafile,
        users=USERS,
    ) as server:
        answer = transact(server.url_with(LOGIN))

    assert trouble(answer[ANN]).stage is Stage.STARTTLS
    assert "the relay's certificate is not valid" in trouble(answer[ANN]).detail
    assert FLAWS[flaw] in trouble(answer[ANN]).detail
    if implicit:
        assert server.commands == []
    else:
        assert_told_no_more_than(server, b"EHLO", b"STARTTLS")


@pytest.mark.parametrize("implicit", [True, False], ids=["smtps", "starttls"])
def test_a_relay_of_old_tls_only_is_not_spoken_to(ca: Authority, implicit: bool) -> None:
    context = ca.context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with smtp_server(
        starttls=None if implicit else context,
        implicit_tls=context if implicit else None,
        cafile=ca.cafile,
        users=USERS,
    ) as server:
        answer = transact(server.url_with(LOGIN))

    assert trouble(answer[ANN]).stage is Stage.STARTTLS
    assert trouble(answer[ANN]).detail.startswith("TLS failed: ")
    assert server.logins == []
    assert server.dotted == []


@pytest.mark.parametrize(
    "event",
    [
        *(say("454 4.7.0 not now"), say("500 what?"), say("502 no"), say("250 ok"), say("354 go")),
        *(say("530 5.7.0 no"), say("221 bye"), hang_up(), hang_up("220 go"), hang_up("421 later")),
    ],
    ids=lambda event: event.octets.decode()[:3] or "silent",
)
def test_whatever_answers_starttls_but_tls_nothing_is_told(ca: Authority, event: Event) -> None:
    rules: dict[str, Rule] = {"STARTTLS": event}
    with smtp_server(rules, starttls=ca.context(), cafile=ca.cafile, users=USERS) as server:
        answer = transact(server.url_with(LOGIN))

    assert trouble(answer[ANN]).stage is Stage.STARTTLS
    assert_told_no_more_than(server, b"EHLO", b"STARTTLS")


def test_a_relay_driven_back_to_helo_has_no_starttls_and_is_told_nothing(ca: Authority) -> None:
    rules: dict[str, Rule] = {"EHLO": say("502 5.5.1 not implemented")}
    with smtp_server(rules, starttls=ca.context(), cafile=ca.cafile, users=USERS) as server:
        answer = transact(server.url_with(LOGIN))

    assert trouble(answer[ANN]).stage is Stage.STARTTLS
    assert_told_no_more_than(server, b"EHLO", b"HELO")


@pytest.mark.parametrize("stage", ["GREETING", "EHLO"])
def test_replies_to_commands_not_yet_given_are_not_believed(ca: Authority, stage: str) -> None:
    hello = "220 relay.test" if stage == "GREETING" else "250-relay.test"
    forged = say(hello, "250-STARTTLS", "250 AUTH PLAIN", "220 go", "250 AUTH PLAIN", "235 in")
    rules: dict[str, Rule] = {stage: forged}
    with smtp_server(rules, starttls=ca.context(), cafile=ca.cafile, users=USERS) as server:
        answer = transact(server.url_with(LOGIN))

    assert trouble(answer[ANN]).detail.startswith("the relay spoke out of turn")
    assert server.logins == []
    assert server.dotted == []


@pytest.mark.parametrize(
    "after",
    [
        *(say("250 relay.test"), say("250-relay.test", "250 AUTH XOAUTH2")),
        *(say("250-relay.test", "250 STARTTLS"), say("502 no")),
    ],
    ids=["nothing", "another login", "STARTTLS again", "HELO"],
)
def test_only_what_is_offered_after_the_handshake_counts(ca: Authority, after: Event) -> None:
    """An offer made in the clear may be anybody's (RFC 3207 §4.2)."""
    rules: dict[str, Rule] = {"EHLO": [None, after]}
    with smtp_server(rules, starttls=ca.context(), cafile=ca.cafile, users=USERS) as server:
        answer = transact(server.url_with(LOGIN))

    assert trouble(answer[ANN]).stage is Stage.AUTH
    assert_told_no_more_than(server, b"EHLO", b"STARTTLS")


def test_an_offer_of_pipelining_in_the_clear_is_forgotten(ca: Authority) -> None:
    rules: dict[str, Rule] = {"EHLO": [None, say("250 relay.test")], "MAIL": say("451 later")}
    with smtp_server(rules, starttls=ca.context(), cafile=ca.cafile) as server:
        transact(server.url_with())

    assert [line.split()[0] for line in server.commands[-3:]] == ["MAIL", "RSET", "QUIT"]


class Injector:
    """A relay whose STARTTLS is answered by more than its reply, in segments of their own."""

    def __init__(self, *segments: bytes) -> None:
        self.received = b""
        self._segments = segments
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def url(self) -> str:
        port = self._listener.getsockname()[1]
        return f"smtp://{LOGIN}@127.0.0.1:{port}?tls=required&verify=no&timeout=10"

    def close(self) -> None:
        self._thread.join(20)
        self._listener.close()

    def _serve(self) -> None:
        client, _address = self._listener.accept()
        with client, suppress(OSError):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.sendall(b"220 relay.test\r\n")
            self.received += client.recv(1000)
            client.sendall(b"250-relay.test\r\n250 STARTTLS\r\n")
            self.received += client.recv(1000)
            for segment in self._segments:
                client.sendall(segment)
            while chunk := client.recv(1000):
                self.received += chunk


@contextmanager
def injector(*segments: bytes) -> Iterator[Injector]:
    relay = Injector(*segments)
    try:
        yield relay
    finally:
        relay.close()


FORGED = b"250-relay.test\r\n250 AUTH PLAIN\r\n235 in\r\n250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n"


@pytest.mark.parametrize(
    "segments",
    [(b"220 go\r\n" + FORGED,), (b"220 go\r\n", FORGED), (b"220 g", b"o\r\n2", FORGED[1:])],
    ids=["at once", "after it", "torn"],
)
def test_replies_injected_before_the_handshake_are_none(segments: tuple[bytes, ...]) -> None:
    """Response injection, the client's side of CVE-2011-0411."""
    with injector(*segments) as relay:
        answer = transact(relay.url)

    assert trouble(answer[ANN]).stage is Stage.STARTTLS
    for word in (b"AUTH", b"MAIL", b"RCPT", b"DATA"):
        assert word not in relay.received
