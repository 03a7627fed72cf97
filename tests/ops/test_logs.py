"""How records become lines, and what never becomes one."""

import io
import json
import logging
import os
import pty
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pika import exceptions

from consumer.ops import logs
from tests.ops.output import Output
from tests.support.broker import VirtualHost

pytestmark = pytest.mark.usefixtures("restored_logging")

log = logging.getLogger("consumer.somewhere")


def fail(text: str) -> None:
    hidden = f"{text} in a local"
    raise ValueError(text, hidden)


def test_a_json_line_has_time_level_event_logger_worker_and_fields(output: Output) -> None:
    logs.configure("INFO", "json", 7)

    log.warning("broker connection lost", extra={"lane": "bulk", "count": 2})

    line = output.event()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "WARNING",
        "event": "broker connection lost",
        "logger": "consumer.somewhere",
        "worker": 7,
        "lane": "bulk",
        "count": 2,
    }


def test_times_are_utc_with_milliseconds(output: Output) -> None:
    logs.configure("INFO", "json", 0)
    record = log.makeRecord(log.name, logging.INFO, __file__, 1, "x", (), None)
    record.created = 1_795_521_600.25

    log.handle(record)

    assert output.event()["timestamp"] == "2026-11-24T12:00:00.250Z"


def test_lower_levels_are_left_out(output: Output) -> None:
    logs.configure("WARNING", "json", 0)

    log.info("unheard")
    log.warning("heard")

    assert [line["event"] for line in output.events()] == ["heard"]


def test_nobody_forges_a_line_or_a_colour_for_a_person_s_eyes(output: Output) -> None:
    logs.configure("INFO", "human", 0)

    log.info("x", extra={"app_id": "evil\n2026 ERROR forged\x1b[31m\u202e\u2028\x85", "n": "ü"})

    line = output.line()
    assert r"evil\n2026 ERROR forged\x1b[31m\u202e\u2028\x85" in line
    assert line.endswith("n=ü")


def test_a_json_line_is_ascii(output: Output) -> None:
    logs.configure("INFO", "json", 0)

    log.info("x", extra={"app_id": "evil\n\x1b\u202e\x85ü"})

    assert output.text.rstrip("\n").isascii()
    assert output.event()["app_id"] == "evil\n\x1b\u202e\x85ü"


def test_a_value_of_no_plain_type_is_told_by_its_type_alone(output: Output) -> None:
    logs.configure("INFO", "json", 0)

    log.info("x", extra={"what": Exception("Secretbody")})

    assert output.event()["what"] == "Exception"


def test_the_words_of_others_have_their_addresses_masked(output: Output) -> None:
    logs.configure("INFO", "json", 0)

    log.warning("relay in trouble", extra={"detail": "535 5.7.8 ada@example.org: wrong password"})

    assert output.event()["detail"] == "535 5.7.8 a***@example.org: wrong password"


@pytest.mark.parametrize("form", ["json", "human"])
def test_an_exception_is_told_by_type_and_place_alone(output: Output, form: Any) -> None:
    logs.configure("INFO", form, 0)
    try:
        try:
            fail("Secretbody")
        except ValueError as error:
            raise KeyError("Secretbody") from error
    except KeyError:
        log.exception("failed", stack_info=True)

    line = output.line()
    assert "KeyError from ValueError" in line
    assert "test_an_exception_is_told_by_type_and_place_alone" in line
    assert "Secret" not in line


def test_a_thread_that_dies_is_logged_without_the_text(output: Output) -> None:
    logs.configure("INFO", "json", 0)

    thread = threading.Thread(target=fail, args=("Secretbody",), name="smtp-1")
    thread.start()
    thread.join()

    line = output.event()
    assert (line["level"], line["event"], line["of"]) == ("ERROR", "thread crashed", "smtp-1")
    assert line["error"] == "ValueError"
    assert line["trace"][-1].startswith("tests.ops.test_logs.fail:")
    assert "Secret" not in output.text


def test_an_error_where_nobody_can_catch_it_is_logged_without_the_text(
    output: Output,
) -> None:
    logs.configure("INFO", "json", 0)

    class Failing:
        def __del__(self) -> None:
            fail("Secretbody")

    Failing()

    line = output.event()
    assert (line["event"], line["error"]) == ("exception ignored", "ValueError")
    assert "Secret" not in output.text


def test_a_crash_of_the_program_is_logged_without_the_text() -> None:
    program = (
        "from consumer.ops import logs\n"
        "logs.configure('INFO', 'json', 0)\n"
        "raise ValueError('Secretbody')"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert ended.returncode == 1
    assert json.loads(ended.stdout)["error"] == "ValueError"
    assert ended.stderr == ""


def test_python_s_warnings_are_lines_too(output: Output) -> None:
    logs.configure("INFO", "json", 0)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old\nway", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(capture=False)

    line = output.event()
    assert (line["logger"], line["level"]) == ("py.warnings", "WARNING")
    assert "DeprecationWarning: old\nway" in line["event"]


def test_a_record_that_cannot_be_written_shows_nothing_of_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    closed = io.StringIO()
    monkeypatch.setattr(sys, "stdout", closed)
    logs.configure("INFO", "json", 0)
    closed.close()

    log.info("%s", "Secretbody")

    assert capsys.readouterr().err == ""


def test_pika_does_not_log_the_body_of_a_returned_message(
    vhost: VirtualHost, output: Output
) -> None:
    vhost.declare_topology()
    logs.configure("DEBUG", "json", 0)

    with vhost.channel() as channel:
        channel.confirm_delivery()
        with pytest.raises(exceptions.UnroutableError):
            channel.basic_publish("email", "nowhere", b"Secretbody", mandatory=True)
    log.info("done")

    assert [line["event"] for line in output.events()] == ["done"]


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    ends = pty.openpty()
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)


PROGRAM = (
    "import logging\n"
    "from consumer.ops import logs\n"
    "logs.configure('INFO', 'auto', 0)\n"
    "logging.getLogger('x').info('ready', extra={'name_of': '\\u00fc'})\n"
)


def test_a_terminal_gets_lines_for_a_person() -> None:
    with terminal() as (ours, theirs):
        subprocess.run([sys.executable, "-c", PROGRAM], stdout=theirs, check=True)
        line = os.read(ours, 4096).decode()

    assert "Z INFO    ready " in line


def test_a_pipe_gets_json() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True)

    assert json.loads(ended.stdout)["event"] == "ready"


def test_an_output_that_knows_ascii_only_loses_no_line() -> None:
    program = PROGRAM.replace("auto", "human")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}

    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, env=environment
    )

    assert ended.stdout.rstrip().endswith(rb"name_of=\xfc")
