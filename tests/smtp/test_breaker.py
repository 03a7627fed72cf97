"""The breaker: opens once, probes by itself, closes by itself, and stops."""

import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from consumer.core.outcome import Reply, Stage, Unreachable
from consumer.core.relay_url import RelayURL
from consumer.core.trouble import Trouble
from consumer.smtp.breaker import Breaker
from consumer.smtp.relay import Relay
from tests.support.consumer_process import wait_until
from tests.support.smtp_script import hang_up
from tests.support.smtp_server import smtp_server

REFUSED = Unreachable(Stage.CONNECT, "Connection refused")
WRONG = Unreachable(Stage.AUTH, "535 5.7.8 wrong", Reply(535, "5.7.8", "wrong"))
RELAY = "127.0.0.1:25"
FRESH = {"first_pause_seconds": 0.01, "longest_pause_seconds": 0.04}


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="consumer")
    return caplog


def events(log: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in log.records if record.name == "consumer.smtp.breaker"]


def probe_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "relay-probe"]


def test_it_closes_when_the_relay_is_back(log: pytest.LogCaptureFixture) -> None:
    changes: list[bool] = []
    with smtp_server() as server:
        relay = Relay(RelayURL.parse(server.url))
        breaker = Breaker(lambda: relay.probe().trouble, RELAY, **FRESH)
        breaker.on_change(lambda: changes.append(breaker.is_open))
        server.stop()
        trouble = relay.probe().trouble
        assert trouble is not None

        breaker.open(trouble)
        breaker.open(trouble)
        assert breaker.is_open
        server.start()

        assert breaker.wait_until_closed(threading.Event())
        wait_until(lambda: not probe_threads())
        breaker.stop()

    assert changes == [True, False]
    assert events(log) == ["relay in trouble", "relay is back"]
    assert log.records[0].levelname == "WARNING"
    assert {vars(record)["relay"] for record in log.records} == {RELAY}
    assert vars(log.records[0])["stage"] == "CONNECT"
    assert vars(log.records[0])["detail"] == f"127.0.0.1:{server.port}: Connection refused"
    assert server.commands == [server.commands[0], "NOOP", "QUIT"]
    assert server.mails == []


@pytest.mark.parametrize("stage", ["GREETING", "EHLO", "NOOP"])
def test_it_stays_open_while_a_probe_fails(stage: str, log: pytest.LogCaptureFixture) -> None:
    with smtp_server({stage: hang_up("421 4.3.2 down")}) as server:
        relay = Relay(RelayURL.parse(server.url))
        breaker = Breaker(lambda: relay.probe().trouble, RELAY, **FRESH)
        breaker.open(WRONG)
        wait_until(lambda: server.sessions >= 4)
        assert breaker.is_open
        server.script.clear()
        assert breaker.wait_until_closed(threading.Event())
        breaker.stop()

    assert breaker.trouble is None
    assert events(log) == ["relay in trouble", "relay in other trouble", "relay is back"]


def test_its_trouble_is_as_old_as_the_first_and_at_the_stage_of_the_last() -> None:
    asked = threading.Semaphore(0)

    def probe() -> Unreachable:
        asked.release()
        return REFUSED

    breaker = Breaker(probe, RELAY, **FRESH)
    before = datetime.now(UTC)
    with breaker._lock:
        breaker.open(WRONG)
        first = breaker.trouble
    after = datetime.now(UTC)
    for _ in range(2):
        assert asked.acquire(timeout=10)
    breaker.stop()

    assert first is not None
    assert before <= first.since <= after
    assert first.stage is Stage.AUTH
    assert breaker.trouble == Trouble(first.since, Stage.CONNECT)


def test_the_pauses_double_up_to_the_longest() -> None:
    asked: list[float] = []
    answers = iter([REFUSED] * 6)

    def probe() -> Unreachable | None:
        asked.append(time.monotonic())
        return next(answers, None)

    breaker = Breaker(probe, RELAY, first_pause_seconds=0.02, longest_pause_seconds=0.1)
    started = time.monotonic()
    breaker.open(REFUSED)
    assert breaker.wait_until_closed(threading.Event())
    breaker.stop()

    moments = [started, *asked]
    pauses = [after - before for before, after in pairwise(moments)]
    least = [0.02, 0.04, 0.08, 0.1, 0.1, 0.1, 0.1]
    assert all(pause >= 0.75 * wanted for pause, wanted in zip(pauses, least, strict=True))


def test_trouble_soon_after_closing_resumes_the_pauses() -> None:
    breaker = Breaker(lambda: None, RELAY, first_pause_seconds=0.01, longest_pause_seconds=10)
    started = time.monotonic()
    for _ in range(5):
        breaker.open(WRONG)
        assert breaker.wait_until_closed(threading.Event())
    breaker.stop()

    assert time.monotonic() - started >= 0.75 * (0.01 + 0.02 + 0.04 + 0.08 + 0.16)


def test_trouble_long_after_closing_begins_anew() -> None:
    breaker = Breaker(lambda: None, RELAY, first_pause_seconds=0.01, longest_pause_seconds=0.02)
    for _ in range(3):
        breaker.open(WRONG)
        assert breaker.wait_until_closed(threading.Event())
    assert breaker._pause == 0.02
    closed = time.monotonic()
    wait_until(lambda: time.monotonic() - closed > 0.05)

    with breaker._lock:
        breaker.open(WRONG)
        assert breaker._pause in {0.01, 0.02}
    assert breaker.wait_until_closed(threading.Event())
    breaker.stop()


def test_a_waiting_thread_goes_when_it_is_to_stop() -> None:
    breaker = Breaker(lambda: REFUSED, RELAY, **FRESH)
    stop = threading.Event()
    answers: list[bool] = []
    breaker.open(REFUSED)
    waiting = threading.Thread(target=lambda: answers.append(breaker.wait_until_closed(stop)))
    waiting.start()

    stop.set()
    waiting.join(5)
    breaker.stop()

    assert answers == [False]
    assert Breaker(lambda: None, RELAY).wait_until_closed(threading.Event())
    assert not Breaker(lambda: None, RELAY).wait_until_closed(stop)


def test_stopping_leaves_no_thread_and_opens_no_more() -> None:
    breaker = Breaker(lambda: REFUSED, RELAY, first_pause_seconds=30)
    changes: list[bool] = []
    breaker.open(REFUSED)
    assert len(probe_threads()) == 1

    breaker.stop()
    breaker.on_change(lambda: changes.append(breaker.is_open))
    breaker.open(WRONG)

    assert probe_threads() == []
    assert changes == []
    Breaker(lambda: None, RELAY).stop()


def test_a_probe_under_way_when_it_stops_changes_nothing() -> None:
    asked, go_on = threading.Event(), threading.Event()

    def probe() -> None:
        asked.set()
        go_on.wait(10)

    breaker = Breaker(probe, RELAY, **FRESH)
    breaker.open(REFUSED)
    assert asked.wait(10)
    breaker.stop(timeout_seconds=0.01)
    go_on.set()
    wait_until(lambda: not probe_threads())

    assert breaker.is_open


def test_a_bug_in_the_probe_does_not_leave_it_open_for_ever(log: pytest.LogCaptureFixture) -> None:
    answers: Iterator[Unreachable | None] = iter([REFUSED, None])

    def probe() -> Unreachable | None:
        answer = next(answers)
        if answer is not None:
            raise ZeroDivisionError
        return None

    breaker = Breaker(probe, RELAY, **FRESH)
    breaker.open(REFUSED)

    assert breaker.wait_until_closed(threading.Event())
    breaker.stop()
    assert "probe failed" in events(log)


def test_openings_and_closings_are_told_in_their_order() -> None:
    told: list[bool] = []
    breaker = Breaker(lambda: None, RELAY, first_pause_seconds=0.0001, longest_pause_seconds=0.001)
    breaker.on_change(lambda: told.append(breaker.is_open))

    def open_often() -> None:
        for _ in range(50):
            breaker.open(REFUSED)

    threads = [threading.Thread(target=open_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert breaker.wait_until_closed(threading.Event())
    breaker.stop()

    assert told
    assert told == [True, False] * (len(told) // 2)
