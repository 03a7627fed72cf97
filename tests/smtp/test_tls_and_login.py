"""Encryption and login: nothing in the clear that must not be, and no password anywhere."""

import base64
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from consumer.core.outcome import Accepted, Stage, TransactionOutcome, Unreachable
from consumer.core.relay_url import RelayURL
from consumer.smtp.relay import Relay
from tests.support.certificates import Authority
from tests.support.smtp_script import Event, Rule, hang_up, say
from tests.support.smtp_server import SmtpServer, smtp_server
from tests.support.transacting import ANN, transact

LOGIN = "app:s3cr%25t"
USERS = {"app": "s3cr%t"}


def trouble(outcome: TransactionOutcome) -> Unreachable:
    assert isinstance(outcome, Unreachable)
    return outcome


def assert_nothing_told_in_the_clear(server: SmtpServer) -> None:
    assert b"AUTH" not in server.plaintext.upper()
    assert b"MAIL" not in server.plaintext.upper()
    assert server.mails == []


def test_starttls_then_login_then_mail(ca: Authority) -> None:
    with smtp_server(starttls=ca.context(), cafile=ca.cafile, users=USERS) as server:
        answer = transact(server.url_with(LOGIN))

    assert isinstance(answer[ANN], Accepted)
    assert server.logins == [("PLAIN", "app")]
    assert [line.split()[0] for line in server.commands[:4]] == ["EHLO", "STARTTLS", "EHLO", "AUTH"]
    assert [line.split()[0] for line in server.plaintext.upper().splitlines()] == [
        *(b"EHLO", b"STARTTLS")
    ]


def test_implicit_tls_is_encrypted_from_the_first_octet(ca: Authority) -> None:
    with smtp_server(implicit_tls=ca.context(), cafile=ca.cafile, users=USERS) as server:
        answer = transact(server.url_with(LOGIN, host="localhost"))

    assert isinstance(answer[ANN], Accepted)
    assert server.plaintext == b""


def test_a_relay_without_plain_gets_login(ca: Authority) -> None:
    def without_plain(argument: str) -> Event | None:
        return say("504 5.5.4 no") if argument.startswith("PLAIN") else None

    rules: dict[str, Rule] = {"AUTH": without_plain}
    with smtp_server(rules, starttls=ca.context(), cafile=ca.cafile, users=USERS) as server:
        answer = transact(server.url_with(LOGIN))

    assert isinstance(answer[ANN], Accepted)
    assert server.logins == [("LOGIN", "app")]


@pytest.mark.parametrize("options", [{}, {"tls": "required", "verify": "no"}])
@pytest.mark.parametrize("login", ["", LOGIN])
def test_where_starttls_is_stripped_nothing_is_told(login: str, options: dict[str, str]) -> None:
    with smtp_server(users=USERS) as server:
        answer = transact(server.url_with(login, **{"tls": "required", **options}))

    assert trouble(answer[ANN]) == Unreachable(
        Stage.STARTTLS, "the relay does not offer STARTTLS, and nothing is sent in the clear"
    )
    assert_nothing_told_in_the_clear(server)


def test_a_starttls_that_is_refused_is_not_gone_without(ca: Authority) -> None:
    rules: dict[str, Rule] = {"STARTTLS": say("454 4.7.0 no TLS now")}
    with smtp_server(rules, starttls=ca.context(), cafile=ca.cafile, users=USERS) as server:
        answer = transact(server.url_with(LOGIN))

    assert trouble(answer[ANN]).stage is Stage.STARTTLS
    assert_nothing_told_in_the_clear(server)


def test_plaintext_after_the_reply_to_starttls_is_not_believed(ca: Authority) -> None:
    rules: dict[str, Rule] = {"STARTTLS": say("220 go", "250-relay.test", "250 AUTH PLAIN")}
    with smtp_server(rules, starttls=ca.context(), cafile=ca.cafile, users=USERS) as server:
        answer = transact(server.url_with(LOGIN))

    assert trouble(answer[ANN]).detail == "there was plaintext after the reply to STARTTLS"
    assert_nothing_told_in_the_clear(server)


def test_the_name_in_the_url_must_be_in_the_certificate(ca: Authority) -> None:
    with smtp_server(starttls=ca.context("127.0.0.1"), cafile=ca.cafile) as server:
        answer = transact(server.url_with(host="localhost"))

    assert "Hostname mismatch" in trouble(answer[ANN]).detail
    assert_nothing_told_in_the_clear(server)


def test_without_cafile_only_the_systems_authorities_count(ca: Authority) -> None:
    with smtp_server(starttls=ca.context()) as server:
        answer = transact(server.url)

    assert "the relay's certificate is not valid" in trouble(answer[ANN]).detail


def test_verify_no_takes_any_certificate_but_still_encrypts(ca: Authority) -> None:
    with smtp_server(starttls=ca.context("other.example", expired=True), users=USERS) as server:
        answer = transact(server.url_with(LOGIN, verify="no"))

    assert isinstance(answer[ANN], Accepted)
    assert b"AUTH" not in server.plaintext.upper()


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_cafile_that_cannot_be_read_is_named(
    ca: Authority, tmp_path: Path, content: str | None
) -> None:
    cafile = tmp_path / "ca.pem"
    if content is not None:
        cafile.write_text(content)
    with smtp_server(starttls=ca.context(), cafile=cafile) as server:
        answer = transact(server.url)

    assert trouble(answer[ANN]).stage is Stage.STARTTLS
    assert trouble(answer[ANN]).detail.startswith(f"cafile {cafile} cannot be read: ")


def test_a_handshake_with_what_is_no_tls_fails() -> None:
    with smtp_server() as server:
        url = server.url.replace("smtp://", "smtps://").replace("tls=none", "timeout=5")
        answer = transact(url)

    assert trouble(answer[ANN]).stage is Stage.STARTTLS
    assert trouble(answer[ANN]).detail.startswith("TLS failed: ")


def test_a_connection_closed_in_the_handshake_is_trouble(ca: Authority) -> None:
    with smtp_server({"STARTTLS": hang_up("220 go")}, starttls=ca.context()) as server:
        answer = transact(server.url_with(verify="no"))

    assert trouble(answer[ANN]).stage is Stage.STARTTLS


def test_opportunistic_encrypts_where_it_can(ca: Authority) -> None:
    with smtp_server(starttls=ca.context()) as server:
        answer = transact(server.url_with(tls="opportunistic"))

    assert isinstance(answer[ANN], Accepted)
    assert b"MAIL" not in server.plaintext.upper()


def test_opportunistic_goes_on_in_the_clear_where_there_is_no_tls(ca: Authority) -> None:
    with smtp_server() as server:
        without = transact(server.url_with(tls="opportunistic"))
    with smtp_server({"STARTTLS": say("454 4.7.0 no")}, starttls=ca.context()) as server:
        refused = transact(server.url_with(tls="opportunistic"))

    assert isinstance(without[ANN], Accepted)
    assert isinstance(refused[ANN], Accepted)
    assert b"MAIL" in server.plaintext


def test_opportunistic_sends_no_password_in_the_clear() -> None:
    with smtp_server(users=USERS) as server:
        kept = transact(server.url_with(LOGIN, tls="opportunistic"))
        assert_nothing_told_in_the_clear(server)
        allowed = transact(server.url_with(LOGIN, tls="opportunistic", insecure_auth="yes"))

    assert trouble(kept[ANN]) == Unreachable(
        Stage.AUTH, "the relay offers no TLS, and the password is not sent in the clear"
    )
    assert isinstance(allowed[ANN], Accepted)


def test_a_relay_that_offers_no_login_is_told_no_password(ca: Authority) -> None:
    with smtp_server(starttls=ca.context(), cafile=ca.cafile) as server:
        answer = transact(server.url_with(LOGIN))

    assert trouble(answer[ANN]) == Unreachable(
        Stage.AUTH,
        "the relay offers no login that we speak (CRAM-MD5, LOGIN, PLAIN), but none at all",
    )
    assert [line for line in server.commands if line.startswith("AUTH")] == []


def test_a_wrong_password_is_the_relays_trouble(ca: Authority) -> None:
    with smtp_server(starttls=ca.context(), cafile=ca.cafile, users=USERS) as server:
        answer = transact(server.url_with("app:wrong"))

    found = trouble(answer[ANN])
    assert found.stage is Stage.AUTH
    assert found.reply is not None
    assert found.reply.code == 535
    assert [line for line in server.commands if line.startswith("MAIL")] == []


def test_the_password_is_in_no_outcome_log_or_repr(
    ca: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="consumer")
    plain = base64.b64encode(b"\0app\0s3cr%t").decode()
    login = base64.b64encode(b"s3cr%t").decode()
    rules: dict[str, Rule] = {"AUTH": say(f"535 5.7.8 AUTH PLAIN {plain} {login} s3cr%t is wrong")}

    with smtp_server(rules, starttls=ca.context(), cafile=ca.cafile, users=USERS) as server:
        url = server.url_with(LOGIN)
        answer = transact(url)

    ours = [record.getMessage() for record in caplog.records if record.name != "mail.log"]
    shown = "".join([repr(answer), repr(RelayURL.parse(url)), str(RelayURL.parse(url)), *ours])
    assert "AUTH PLAIN *** *** *** is wrong" in repr(answer)
    for secret in ("s3cr", plain, login):
        assert secret not in shown


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "END_OF_DATA"])
@pytest.mark.parametrize(
    "quote",
    [
        pytest.param(lambda command: say(f"550 5.5.1 out of sequence: {command}"), id="reply"),
        pytest.param(lambda command: say(f"what is {command}?"), id="garbage"),
        pytest.param(lambda command: say("250 ok", f"500 {command}"), id="out-of-turn"),
    ],
)
def test_a_login_quoted_later_is_hidden(
    ca: Authority, stage: str, quote: Callable[[str], Event]
) -> None:
    plain = base64.b64encode(b"\0app\0s3cr%t").decode()
    rules: dict[str, Rule] = {stage: quote(f"AUTH PLAIN {plain}")}
    with smtp_server(rules, starttls=ca.context(), cafile=ca.cafile, users=USERS) as server:
        answer = transact(server.url_with(LOGIN))

    assert server.logins == [("PLAIN", "app")]
    assert plain not in repr(answer)


def test_a_login_quoted_out_of_turn_is_hidden_from_who_checks(ca: Authority) -> None:
    plain = base64.b64encode(b"\0app\0s3cr%t").decode()
    rules: dict[str, Rule] = {"NOOP": say(f"500 {'x' * 40} AUTH PLAIN {plain}")}
    with smtp_server(rules, starttls=ca.context(), cafile=ca.cafile, users=USERS) as server:
        report = Relay(RelayURL.parse(server.url_with(LOGIN))).probe()

    assert report.steps[-1].detail.endswith("AUTH PLAIN ***")
    assert plain not in repr(report)


def test_garbage_in_the_login_is_trouble_and_hides_the_password(ca: Authority) -> None:
    rules: dict[str, Rule] = {"AUTH": say("\x01 s3cr%t")}
    with smtp_server(rules, starttls=ca.context(), cafile=ca.cafile, users=USERS) as server:
        answer = transact(server.url_with(LOGIN))

    assert trouble(answer[ANN]) == Unreachable(Stage.AUTH, "not an SMTP reply: ***")


def test_a_challenge_that_is_no_base64_is_trouble(ca: Authority) -> None:
    def broken_login(argument: str) -> Event | None:
        return say("504 no") if argument.startswith("PLAIN") else say("334 !", "334 !", "334 !")

    rules: dict[str, Rule] = {"AUTH": broken_login}
    with smtp_server(rules, starttls=ca.context(), cafile=ca.cafile, users=USERS) as server:
        answer = transact(server.url_with(LOGIN))

    assert trouble(answer[ANN]).stage is Stage.AUTH
