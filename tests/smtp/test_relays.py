"""The list of relays: in trouble only when all are, and told of in order."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer.core.outcome import Stage, Unreachable
from consumer.core.relay_url import RelayURL
from consumer.smtp.relays import Relays

GONE = Unreachable(Stage.CONNECT, "gone")
NEVER = 3600.0
URLS = [RelayURL.parse(f"smtp://127.0.0.1:{port}?tls=none") for port in (1, 2, 3)]


@pytest.fixture
def relays(tmp_path: Path) -> Iterator[Relays]:
    made = Relays(URLS, tmp_path)
    for member in made.members:
        member.breaker._pause = member.breaker._first = NEVER
    yield made
    made.stop()


def test_they_are_in_trouble_when_the_last_one_is(relays: Relays) -> None:
    changes: list[bool] = []
    relays.on_change(lambda: changes.append(relays.is_open))
    breakers = [member.breaker for member in relays.members]

    for breaker in breakers:
        assert not relays.is_open
        breaker.open(GONE)
    assert relays.is_open
    for breaker in reversed(breakers):
        breaker._close()
        assert not relays.is_open

    assert changes == [True, False]


def test_each_is_named_by_its_place_and_says_its_own_state(relays: Relays) -> None:
    relays.members[1].breaker.open(GONE)

    assert {name: trouble is not None for name, trouble in relays.troubles.items()} == {
        "127.0.0.1:1": False,
        "127.0.0.1:2": True,
        "127.0.0.1:3": False,
    }


def test_a_thread_waits_while_all_are_in_trouble(relays: Relays) -> None:
    stop = threading.Event()
    answers: list[bool] = []

    def wait() -> None:
        answers.append(relays.wait_until_closed(stop))

    assert relays.wait_until_closed(stop)
    for member in relays.members:
        member.breaker.open(GONE)
    waiting = [threading.Thread(target=wait) for _ in range(2)]
    waiting[0].start()
    relays.members[2].breaker._close()
    waiting[0].join(10)
    relays.members[2].breaker.open(GONE)
    waiting[1].start()
    stop.set()
    waiting[1].join(10)

    assert answers == [True, False]
    assert not relays.wait_until_closed(stop)


def test_openings_and_closings_at_once_end_in_what_is_so(tmp_path: Path) -> None:
    relays = Relays(URLS, tmp_path)
    told: list[bool] = []
    relays.on_change(lambda: told.append(relays.is_open))

    def flap(number: int) -> None:
        breaker = relays.members[number].breaker
        for _ in range(100):
            breaker._pause = NEVER
            breaker.open(GONE)
            breaker._close()

    threads = [threading.Thread(target=flap, args=(number,)) for number in range(len(URLS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not relays.is_open
    assert told == [True, False] * (len(told) // 2)
    for member in relays.members:
        member.breaker._stopping.set()


def test_a_rate_has_a_file_for_each_relay(tmp_path: Path) -> None:
    urls = ["smtp://[::1]:25?tls=none&rate=1", "smtp://relay.example.org?rate=2", "smtp://other"]

    Relays([RelayURL.parse(url) for url in urls], tmp_path / "state")

    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == [
        "pace-___1__25",
        "pace-relay.example.org_587",
    ]


def test_without_a_rate_no_folder_is_needed(tmp_path: Path) -> None:
    Relays([RelayURL.parse("smtp://relay.example.org")], tmp_path / "state")

    assert not (tmp_path / "state").exists()
