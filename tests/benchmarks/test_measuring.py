"""What the figures rest on, with real processes: sink, delay line, load, and what is sent."""

import smtplib
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from benchmarks.contenders import tasks
from benchmarks.contenders.runs import smtp_source
from benchmarks.contenders.where import environment
from benchmarks.delay_line import delay_line
from benchmarks.failed import BenchmarkFailed
from benchmarks.load import loaded, steady
from benchmarks.mail import HTML, TEXT, email
from benchmarks.processes import answer_of, arguments_of, child, family, running
from benchmarks.sink import Sink, smtp_sink
from benchmarks.timing_sink import timing_sink
from consumer.core.compose import compose
from tests.support.consumer_process import wait_until


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    with smtp_sink() as running_sink:
        yield running_sink


def test_the_sink_counts_every_mail_once(sink: Sink, tmp_path: Path) -> None:
    before = sink.count
    with running(smtp_source(tmp_path, sink.port, 500), tmp_path / "log"):
        moment = sink.wait_for(before + 500, 20)

    assert sink.count == before + 500
    assert sink.timeline[-1] == (moment, before + 500)
    moments, counts = zip(*sink.timeline, strict=True)
    assert list(moments) == sorted(moments)
    assert list(counts) == sorted(set(counts))


def test_mails_that_do_not_come_end_the_wait(sink: Sink) -> None:
    with pytest.raises(BenchmarkFailed, match=r"^3 mails did not come"):
        sink.wait_for(sink.count + 3, 0.1)


@pytest.mark.parametrize("send", [tasks.send, tasks.send_kept])
def test_the_tasks_send_a_mail_each(
    sink: Sink, monkeypatch: pytest.MonkeyPatch, send: Callable[..., None]
) -> None:
    for name, value in environment("", sink.port).items():
        monkeypatch.setenv(name, value)
    before = sink.count

    for number in range(3):
        send(**tasks.fields(number))

    sink.wait_for(before + 3, 5)
    tasks.close_kept()


def test_all_contenders_send_the_same_mail() -> None:
    ours = compose(email(7), "m-7", datetime.now(UTC)).content
    theirs = tasks.message(**tasks.fields(7)).as_bytes()

    assert 1_100 < len(ours) < 1_300
    for content in (ours, theirs):
        mail = message_from_bytes(content, policy=policy.default)
        text, html = (mail.get_body((kind,)) for kind in ("plain", "html"))
        assert text is not None
        assert html is not None
        assert text.get_content().replace("\r\n", "\n") == TEXT
        assert html.get_content().replace("\r\n", "\n") == HTML
        assert mail["To"] == "ada.7@example.org"


def test_a_reply_through_the_delay_line_is_late_and_whole(sink: Sink) -> None:
    with delay_line(sink.port, 0.1) as port, smtplib.SMTP("127.0.0.1", port, "test") as smtp:
        started = time.monotonic()
        codes = [smtp.noop()[0], smtp.docmd("RSET")[0]]

        assert codes == [250, 250]
        assert time.monotonic() - started >= 0.2


def test_pipelined_commands_share_the_delay(sink: Sink) -> None:
    with delay_line(sink.port, 0.5) as port, smtplib.SMTP("127.0.0.1", port, "test") as smtp:
        smtp.ehlo()
        started = time.monotonic()
        smtp.send(b"NOOP\r\n" * 5)
        assert [smtp.getreply()[0] for _ in range(5)] == [250] * 5

        assert time.monotonic() - started < 5 * 0.5


def test_the_timing_sink_tells_when_it_took_which_mail() -> None:
    content = compose(email(1), "load-1", datetime.now(UTC)).content
    with timing_sink() as (port, taken):
        before = time.monotonic()
        with smtplib.SMTP("127.0.0.1", port, "test") as smtp:
            smtp.sendmail("app@example.org", ["ada@example.org"], content)
        after = time.monotonic()
        found = taken()

    assert list(found) == ["load-1"]
    assert before < found["load-1"] < after


def test_a_load_makes_each_call_once_and_none_before_its_time() -> None:
    called: list[int] = []
    before = time.monotonic()

    calls = steady(called.append, rate=200.0, seconds=0.5)

    assert [call.number for call in calls] == sorted(called) == list(range(100))
    assert all(call.began_seconds - before >= call.number / 200.0 for call in calls)


def test_a_load_whose_call_fails_fails() -> None:
    def fail(number: int) -> None:
        raise ConnectionError(number)

    with pytest.raises(ConnectionError):
        steady(fail, rate=100.0, seconds=0.1)


def test_a_load_runs_in_a_process_of_its_own(sink: Sink) -> None:
    before = sink.count

    calls = loaded("smtplib", 50, 0.2, environment("", sink.port))

    sink.wait_for(before + 10, 5)
    assert len(calls) == 10
    assert all(call.took_seconds > 0 for call in calls)


def test_a_module_that_fails_is_told_with_its_last_words() -> None:
    with pytest.raises(BenchmarkFailed, match="ConnectionRefusedError"):
        answer_of("benchmarks.load", "smtplib", 1, 1, environment=environment("", 1))


def test_nothing_is_left_of_a_child_and_of_what_it_started() -> None:
    # The one that it forks ignores SIGTERM, and outlives its parent.
    script = (
        "import os, signal, time\n"
        "if not os.fork(): signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "time.sleep(60)\n"
    )
    with child([sys.executable, "-c", script]) as process:
        wait_until(lambda: len(family(process.pid)) == 2, 10, "the fork")
        pids = family(process.pid)

    wait_until(lambda: not any(arguments_of(pid) for pid in pids), 10, "their end")
