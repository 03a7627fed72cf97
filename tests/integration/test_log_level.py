"""`hopmail log-level`, and whether each line about a message says which."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import hopmail
from tests.cli.supervised import supervised, wait_consuming
from tests.support.broker import VirtualHost
from tests.support.consumer_process import consuming, state_folder, wait_until
from tests.support.smtp_script import say
from tests.support.smtp_server import smtp_server

SUBJECT = "Secretsubject"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SMTP_STEPS = {"MAIL", "RCPT", "DATA", "END_OF_DATA"}


def email(text: str = "Secretbody") -> bytes:
    return json.dumps(
        {
            "email_to": "ada@example.org",
            "email_from": "app@example.org",
            "subject": SUBJECT,
            "message": {"text": text},
        }
    ).encode()


def log_level(vhost: VirtualHost, *arguments: str, **settings: Any) -> str:
    ended = hopmail("log-level", *arguments, amqp_url=vhost.url, smtp_url="smtp://h", **settings)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def publish(vhost: VirtualHost, message_id: str) -> None:
    vhost.publish_raw(email(), message_id=message_id, headers={"traceparent": TRACE})


def test_the_level_changes_while_a_consumer_runs(vhost: VirtualHost) -> None:
    with smtp_server() as server, consuming(vhost.url, server.url) as process:
        assert log_level(vhost) == "INFO, by HOPMAIL_LOG_LEVEL"
        publish(vhost, "m-info")
        wait_until(lambda: process.handled("m-info"), what="the mail")
        assert {line["level"] for line in process.lines} == {"INFO"}

        shown = log_level(vhost, "debug")
        assert (
            shown
            == log_level(vhost)
            == ("DEBUG, until `hopmail log-level --reset` or the next `hopmail run`")
        )
        wait_until(lambda: process.events("log level changed"), 5, "the level")
        publish(vhost, "m-debug")
        wait_until(lambda: process.handled("m-debug"), what="the mail")
        told = [line for line in process.lines if line["level"] == "DEBUG"]
        assert {"received", "smtp reply", "smtp content sent"} <= {line["event"] for line in told}

        log_level(vhost, "ERROR")
        wait_until(lambda: len(process.events("log level changed")) == 2, 5, "the level")
        publish(vhost, "m-error")
        wait_until(lambda: len(server.mails) == 3, what="the mail")

        log_level(vhost, "--reset")
        wait_until(lambda: len(process.events("log level changed")) == 3, 5, "the level")
        publish(vhost, "m-back")
        wait_until(lambda: process.handled("m-back"), what="the mail")
        assert not process.handled("m-error")
        assert [(line["from"], line["to"]) for line in process.events("log level changed")] == [
            *(("INFO", "DEBUG"), ("DEBUG", "ERROR"), ("ERROR", "INFO"))
        ]
        assert process.terminate() == 0


def test_each_line_about_a_message_says_which(vhost: VirtualHost) -> None:
    with (
        smtp_server({"RCPT": [None, say("450 4.2.0 later")]}) as server,
        consuming(vhost.url, server.url, log_level="DEBUG") as process,
    ):
        for message_id in ("m-1", "m-2"):
            publish(vhost, message_id)
        wait_until(lambda: process.handled("m-1") and len(process.handled("m-2")) == 2)
        assert process.terminate() == 0

    replies = process.events("smtp reply")
    assert {line["command"] for line in replies if line.get("message_id") == "m-1"} >= SMTP_STEPS
    about_mail = [
        line
        for line in process.lines
        if line["event"] in {"received", "handled", "smtp content sent"}
        or line.get("command") in SMTP_STEPS
    ]
    assert {line.get("message_id") for line in about_mail} == {"m-1", "m-2"}
    assert {line.get("traceparent") for line in about_mail} == {TRACE}
    text = "".join(process.raw)
    assert not [word for word in (SUBJECT, "Secretbody", "ada@", "app@") if word in text]


@pytest.mark.timeout(120)
def test_a_level_that_was_asked_ends_when_hopmail_run_starts_anew(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    state_folder(vhost.url).mkdir(parents=True)
    with smtp_server() as server:
        log_level(vhost, "DEBUG")
        settings = {"amqp_url": vhost.url, "smtp_url": server.url, "processes": 2}
        with supervised(tmp_path / "out", **settings, log_format="json") as run:
            wait_consuming(run, 2)
            assert not run.events("log level changed")
            assert log_level(vhost) == "INFO, by HOPMAIL_LOG_LEVEL"

            log_level(vhost, "DEBUG")

            wait_until(lambda: len(run.events("log level changed")) == 3, 5, "workers, supervisor")
            changed = run.events("log level changed")
            assert {line.get("worker") for line in changed} == {0, 1, None}
            assert run.terminate() == 0


@pytest.mark.timeout(120)
def test_the_level_that_was_asked_is_for_supervisor_s_lines_too(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    def of_supervisor() -> list[str]:
        return [line["level"] for line in run.lines if line["logger"] == "supervisor"]

    def changes_to(level: str) -> int:
        return sum(line["to"] == level for line in run.events("log level changed"))

    with smtp_server() as server:
        settings = {"amqp_url": vhost.url, "smtp_url": server.url, "processes": 1}
        with supervised(tmp_path / "out", **settings, log_format="json") as run:
            wait_consuming(run, 1)
            assert set(of_supervisor()) == {"INFO"}

            log_level(vhost, "DEBUG")
            wait_until(lambda: changes_to("DEBUG") == 2, 5, "the level")
            os.kill(run.workers()["0"], signal.SIGKILL)
            wait_until(lambda: "DEBUG" in of_supervisor(), 30, "a line of supervisor's at DEBUG")
            wait_until(lambda: len(run.events("consuming")) == 2, 30, "the worker, again")

            log_level(vhost, "ERROR")
            wait_until(lambda: changes_to("ERROR") == 2, 5, "the level")
            before = of_supervisor()
            assert run.terminate() == 0
            assert of_supervisor() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("LOUD",), "DEBUG, INFO, WARNING, ERROR"), (("INFO", "--reset"), "--reset")],
)
def test_what_is_no_level_is_refused(arguments: tuple[str, ...], said: str) -> None:
    ended = hopmail("log-level", *arguments, amqp_url="amqp://h", smtp_url="smtp://h")

    assert ended.returncode == 2
    assert said in ended.stderr


def test_a_state_folder_that_is_not_there_is_told(vhost: VirtualHost, tmp_path: Path) -> None:
    ended = hopmail(
        *("log-level", "DEBUG"),
        amqp_url=vhost.url,
        smtp_url="smtp://h",
        state_dir=tmp_path / "none",
    )

    assert ended.returncode == 1
    assert ended.stderr == (f"✗ HOPMAIL_STATE_DIR: {tmp_path}/none: No such file or directory\n")


def test_a_damaged_file_changes_nothing_and_asking_mends_it(vhost: VirtualHost) -> None:
    with smtp_server() as server, consuming(vhost.url, server.url) as process:
        (state_folder(vhost.url) / "control.json").write_text("{")
        wait_until(lambda: process.events("control file ignored"), 5, "its warning")

        log_level(vhost, "DEBUG")

        wait_until(lambda: process.events("log level changed"), 5, "the level")
