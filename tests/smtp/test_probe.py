"""The probe's report: each step, what is wrong, and the cure."""

from pathlib import Path

import pytest

from consumer.core.outcome import Stage
from consumer.core.relay_url import RelayURL
from consumer.smtp.probe import Report
from consumer.smtp.relay import Relay
from tests.support.certificates import Authority, authority
from tests.support.smtp_script import Event, garbage, hang_up, say, silence
from tests.support.smtp_server import smtp_server

LOGIN, USERS = "app:secret", {"app": "secret"}
OTHER_PORT = "check the port: smtp://"


def probe(url: str) -> Report:
    return Relay(RelayURL.parse(url)).probe()


def names(report: Report) -> list[str]:
    return [step.name for step in report.steps]


def assert_failed(report: Report, name: str, stage: Stage, detail: str, cure: str) -> None:
    *before, last = report.steps
    assert [step.ok for step in before] == [True] * len(before)
    assert (last.name, last.ok) == (name, False)
    assert detail in last.detail
    assert cure in last.cure
    assert report.trouble is not None
    assert report.trouble.stage is stage
    assert report.trouble.stage.is_before_mail


def test_a_relay_that_works_starttls(ca: Authority) -> None:
    with smtp_server(
        starttls=ca.context(), cafile=ca.cafile, users=USERS, size_limit=1000
    ) as server:
        report = probe(server.url_with(LOGIN))

    assert report.trouble is None
    assert [(step.name, step.detail) for step in report.steps if step.ok and not step.cure] == [
        ("connect", f"127.0.0.1:{server.port}"),
        ("greeting", "done"),
        ("EHLO", "8BITMIME AUTH HELP PIPELINING SIZE SMTPUTF8"),
        ("TLS", "TLSv1.3, certificate verified"),
        ("login", "as app"),
        ("NOOP", "250 OK"),
    ]
    assert "secret" not in repr(report)
    assert server.commands[-2:] == ["NOOP", "QUIT"]


def test_a_relay_that_works_implicit_tls(ca: Authority) -> None:
    with smtp_server(implicit_tls=ca.context(), users=USERS) as server:
        report = probe(server.url_with(LOGIN, verify="no"))

    assert report.trouble is None
    assert names(report) == ["connect", "TLS", "greeting", "EHLO", "login", "NOOP"]
    assert report.steps[1].detail == "TLSv1.3, certificate not verified"


def test_a_relay_that_works_in_the_clear() -> None:
    with smtp_server({"EHLO": say("500 what?")}) as server:
        report = probe(server.url)
        opportunistic = probe(server.url_with(tls="opportunistic"))

    assert names(report) == ["connect", "greeting", "EHLO", "NOOP"]
    assert report.steps[2].detail == "no extensions"
    assert opportunistic.steps[3].detail.startswith("not offered, so mail goes in the clear")


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"GREETING": say("554 5.7.1 go away")}, ("greeting", Stage.GREETING, "554", "ask who")),
        ({"GREETING": say("421 4.3.2 busy")}, ("greeting", Stage.GREETING, "421", "wait")),
        ({"GREETING": silence()}, ("greeting", Stage.GREETING, "in time", OTHER_PORT)),
        ({"GREETING": garbage()}, ("greeting", Stage.GREETING, "not an SMTP", OTHER_PORT)),
        ({"EHLO": hang_up()}, ("EHLO", Stage.EHLO, "closed", "ask who")),
        ({"EHLO": say("451 4.3.0 later")}, ("EHLO", Stage.EHLO, "451", "wait")),
        ({"STARTTLS": say("454 4.7.0 no")}, ("TLS", Stage.STARTTLS, "454", "cannot do it now")),
        ({"AUTH": say("535 5.7.8 wrong")}, ("login", Stage.AUTH, "535", "check user and password")),
        ({"AUTH": say("454 4.7.0 later")}, ("login", Stage.AUTH, "454", "wait")),
        ({"NOOP": say("421 4.3.2 bye")}, ("NOOP", Stage.AUTH, "421", "ask who")),
        ({"NOOP": silence()}, ("NOOP", Stage.AUTH, "in time", "ask who")),
        ({"NOOP": hang_up()}, ("NOOP", Stage.AUTH, "closed", "ask who")),
    ],
)
def test_each_failing_step_has_its_cure(
    ca: Authority, rules: dict[str, Event], expected: tuple[str, Stage, str, str]
) -> None:
    timeout = 0.6 if silence() in rules.values() else 10
    with smtp_server(rules, starttls=ca.context(), cafile=ca.cafile, users=USERS) as server:
        report = probe(server.url_with(LOGIN, timeout=timeout))

    assert_failed(report, *expected)
    assert server.mails == []


def test_nobody_at_the_port() -> None:
    with smtp_server() as server:
        server.stop()
        report = probe(server.url)

    assert_failed(report, "connect", Stage.CONNECT, "refused", "check host and port, that the")
    assert names(report) == ["connect"]


def test_a_host_that_does_not_exist() -> None:
    host = "relay.invalid"
    report = probe(f"smtp://{host}?tls=none")

    assert_failed(report, "connect", Stage.CONNECT, host, f"check the host name {host}")


def test_no_answer_to_the_connection() -> None:
    # 192.0.2.0/24 is for documentation (RFC 5737): nobody is there.
    report = probe("smtp://192.0.2.1?tls=none&connect_timeout=0.2")

    assert_failed(report, "connect", Stage.CONNECT, "192.0.2.1:587: ", "firewalls between")


def test_no_starttls_offered() -> None:
    with smtp_server(users=USERS) as server:
        report = probe(server.url_with(LOGIN, tls="required"))

    assert_failed(report, "TLS", Stage.STARTTLS, "does not offer STARTTLS", "use smtps://")
    assert names(report) == ["connect", "greeting", "EHLO", "TLS"]


def test_tls_where_the_port_speaks_in_the_clear(ca: Authority) -> None:
    with smtp_server() as server:
        report = probe(f"smtps://127.0.0.1:{server.port}?cafile={ca.cafile}")

    assert_failed(report, "TLS", Stage.STARTTLS, "TLS failed", OTHER_PORT)


@pytest.mark.parametrize(
    ("names_in_it", "expired", "trusted", "cure"),
    [
        (("other.example",), False, True, "put the name that is in the certificate in place of"),
        ((), True, True, "renew the relay's certificate"),
        ((), False, False, "cafile="),
    ],
)
def test_a_certificate_that_is_not_valid(
    ca: Authority, names_in_it: tuple[str, ...], expired: bool, trusted: bool, cure: str
) -> None:
    context = ca.context(*names_in_it, expired=expired)
    with smtp_server(starttls=context, cafile=ca.cafile if trusted else None) as server:
        report = probe(server.url)

    assert_failed(report, "TLS", Stage.STARTTLS, "certificate is not valid", cure)


def test_a_cafile_that_is_not_there(ca: Authority, tmp_path: Path) -> None:
    missing = tmp_path / "ca.pem"
    with smtp_server(starttls=ca.context(), cafile=missing) as server:
        report = probe(server.url)

    assert_failed(report, "TLS", Stage.STARTTLS, "cannot be read", f"make {missing} a readable")


def test_a_cafile_put_right_is_read_without_a_restart(ca: Authority, tmp_path: Path) -> None:
    cafile = tmp_path / "ca.pem"
    with authority() as other, smtp_server(starttls=ca.context(), cafile=cafile) as server:
        cafile.write_bytes(other.cafile.read_bytes())
        relay = Relay(RelayURL.parse(server.url))
        before = relay.probe()
        cafile.write_bytes(ca.cafile.read_bytes())
        after = relay.probe()

    assert before.trouble is not None
    assert after.trouble is None


def test_a_login_that_would_go_in_the_clear() -> None:
    with smtp_server(users=USERS) as server:
        report = probe(server.url_with(LOGIN, tls="opportunistic"))

    assert_failed(report, "login", Stage.AUTH, "in the clear", "insecure_auth=yes")


def test_no_login_offered(ca: Authority) -> None:
    with smtp_server(starttls=ca.context(), cafile=ca.cafile) as server:
        report = probe(server.url_with(LOGIN))

    assert_failed(report, "login", Stage.AUTH, "no login that we speak", "submission port")
