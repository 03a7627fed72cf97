"""What is logged at DEBUG of a session with a relay, and what never is."""

import logging
from typing import Any

import pytest

from tests.support.certificates import Authority
from tests.support.smtp_script import say
from tests.support.smtp_server import SmtpServer, smtp_server
from tests.support.transacting import ANN, transact

USERS = {"app": "s3cr%t"}
SECRETS = ("s3cr", "czNjcg", "AHMz", "example.org", "ann", "Secret")


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return what a line says beyond what every line has."""
    common = logging.makeLogRecord({}).__dict__.keys() | {"message", "asctime", "relay"}
    return {name: value for name, value in record.__dict__.items() if name not in common}


def lines(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what we logged; the server is in this process too."""
    return [record for record in caplog.records if record.name.startswith("consumer.")]


def steps(caplog: pytest.LogCaptureFixture) -> list[tuple[str, int]]:
    """Return each reply: to which command, and its code."""
    told = [fields(record) for record in lines(caplog) if record.message == "smtp reply"]
    return [(line["command"], line["code"]) for line in told]


def url(server: SmtpServer) -> str:
    return server.url_with("app:s3cr%25t")


@pytest.mark.parametrize("extensions", [("PIPELINING",), ()], ids=["pipelined", "one by one"])
def test_each_step_of_a_session_is_told_and_nothing_of_the_mail(
    ca: Authority, caplog: pytest.LogCaptureFixture, extensions: tuple[str, ...]
) -> None:
    caplog.set_level(logging.DEBUG, logger="consumer.smtp")

    with smtp_server(
        starttls=ca.context(), cafile=ca.cafile, users=USERS, extensions=extensions
    ) as server:
        transact(url(server))

    assert steps(caplog) == [
        ("GREETING", 220),
        ("EHLO", 250),
        ("STARTTLS", 220),
        ("EHLO", 250),
        ("AUTH", 235),
        ("MAIL", 250),
        ("RCPT", 250),
        ("RCPT", 250),
        ("DATA", 354),
        ("END_OF_DATA", 250),
        ("QUIT", 221),
    ]
    told = {record.message: fields(record) for record in lines(caplog)}
    assert told["smtp connected"] == {"ip": "127.0.0.1"}
    assert told["smtp encrypted"]["protocol"] == "TLSv1.3"
    assert "AUTH" in told["smtp extensions"]["offered"]
    assert told["smtp content sent"]["bytes"] > 0
    assert {record.levelname for record in lines(caplog)} == {"DEBUG"}
    for record in lines(caplog):
        assert not [secret for secret in SECRETS if secret in str(record.__dict__)]


@pytest.mark.parametrize("mechanism", ["LOGIN", "CRAM-MD5"])
def test_no_login_of_several_steps_is_told(
    ca: Authority, caplog: pytest.LogCaptureFixture, mechanism: str
) -> None:
    caplog.set_level(logging.DEBUG, logger="consumer.smtp")
    rules = {"AUTH": lambda given: None if given.startswith(mechanism) else say("504 5.5.4 no")}

    with smtp_server(rules, starttls=ca.context(), cafile=ca.cafile, users=USERS) as server:
        transact(url(server))

    commands = [command for command, _code in steps(caplog)]
    assert set(commands) <= {"GREETING", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA"} | {
        *("END_OF_DATA", "QUIT", "RSET")
    }
    for record in lines(caplog):
        assert not [secret for secret in SECRETS if secret in str(record.__dict__)]


def test_a_refusal_is_told_by_its_codes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="consumer.smtp")

    with smtp_server({"RCPT": say(f"550 5.1.1 <{ANN}> is not here")}) as server:
        transact(server.url)

    told = [fields(record) for record in lines(caplog) if record.message == "smtp reply"]
    refused = [line for line in told if line["command"] == "RCPT"]
    assert refused == [{"command": "RCPT", "code": 550, "enhanced": "5.1.1"}] * 2
    assert ANN not in caplog.text


def test_a_reset_is_told_as_such(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="consumer.smtp")

    with smtp_server({"MAIL": say("550 5.7.1 no")}, extensions=()) as server:
        transact(server.url)

    assert ("RSET", 250) in steps(caplog)


def test_above_debug_nothing_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="consumer.smtp")

    with smtp_server() as server:
        transact(server.url)

    assert lines(caplog) == []
