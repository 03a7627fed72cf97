"""The ledger's thread: groups, order, trouble and its end."""

import logging
import math
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from consumer.core.endings import unsettled
from consumer.core.ledger import Claim, Ending, Generation, Key, State, Wanted
from consumer.ledger import housekeeping as housekeeping_module
from consumer.ledger import ledger as ledger_module
from consumer.ledger import sqlite as sqlite_module
from consumer.ledger.journal import Journal, read_journal
from consumer.ledger.ledger import Ledger
from consumer.ledger.owner import Owner
from consumer.ledger.sqlite import SqliteStore, folders_of
from consumer.ledger.store import LedgerTrouble
from tests.support.consumer_process import wait_until

FIRST = Generation(0, 1)
SOON_SECONDS = 10.0


def wanted(number: int = 1) -> Wanted:
    return Wanted(Key("app", f"m-{number}"), FIRST, b"p" * 16, ("a",))


class Process:
    """One process's ledger over a file, and what it called back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.owner = Owner(folders_of(path), 1)
        self.journal = Journal(self.owner.folder)
        self.store = SqliteStore(path, self.owner.name)
        self.ledger = Ledger(self.store, self.journal, timedelta(days=14))
        self.claims: list[Claim] = []
        self.troubles: list[bool] = []
        self.ledger.start(self.troubles.append)

    def claim(self, each: Wanted) -> Claim:
        """Ask for one message, and wait for what is granted."""
        came = threading.Event()

        def done(claims: Sequence[Claim]) -> None:
            self.claims.extend(claims)
            came.set()

        self.ledger.claim([each], done)
        assert came.wait(SOON_SECONDS)
        return self.claims[-1]

    def die(self) -> None:
        """End."""
        assert self.ledger.close(SOON_SECONDS)
        self.owner.close()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_module, "BUSY_SECONDS", 0.1)
    monkeypatch.setattr(ledger_module, "AGAIN_SECONDS", 0.05)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest.fixture
def process(path: Path) -> Iterator[Process]:
    found = Process(path)
    yield found
    found.die()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def test_many_claims_are_granted_in_their_order_in_few_commits(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    apply = process.store.apply

    def counting(wanted: list[Wanted], ended: list[object]) -> list[Claim]:
        sizes.append(len(wanted))
        return apply(wanted, ended)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(process.store, "apply", counting)
    for number in range(1_000):
        process.ledger.claim([wanted(number)], process.claims.extend)
    wait_until(lambda: len(process.claims) == 1_000, what="every claim")

    assert [claim.wanted.key.message_id for claim in process.claims] == [
        f"m-{number}" for number in range(1_000)
    ]
    assert max(sizes) > 10


def test_claims_asked_for_together_are_granted_together(process: Process) -> None:
    told: list[list[str]] = []

    def done(claims: Sequence[Claim]) -> None:
        told.append([claim.wanted.key.message_id for claim in claims])

    for numbers in (range(3), range(0), range(3, 5)):
        process.ledger.claim([wanted(number) for number in numbers], done)
    wait_until(lambda: len(told) == 3, what="every claim")

    assert told == [["m-0", "m-1", "m-2"], [], ["m-3", "m-4"]]


def test_what_a_dead_process_held_is_granted_at_once(process: Process, path: Path) -> None:
    dying = Process(path)
    dying.claim(wanted())
    assert process.claim(wanted()).must_wait
    dying.die()

    assert process.claim(wanted()).granted == ("a",)


def test_what_was_granted_before_trouble_is_granted_after_it(
    process: Process, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = Process(path)
    dying.claim(wanted(1))
    ended = process.claim(wanted(9))
    apply, calls = process.store.apply, 0

    def failing_at_the_second(asked: list[Wanted], over: list[object]) -> list[Claim]:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise LedgerTrouble("for a moment")
        return apply(asked, over)  # type: ignore[arg-type]  # passed on as it came

    told: list[Claim] = []
    kept: list[str] = []
    dying.die()
    monkeypatch.setattr(process.store, "apply", failing_at_the_second)
    with process.ledger._came:
        process.ledger.claim([wanted(1), wanted(2)], told.extend)
        process.ledger.end(ended, unsettled(ended), lambda: kept.append("once"))
    wait_until(lambda: told, what="the claims")

    assert calls >= 3
    assert [claim.granted for claim in told] == [("a",), ("a",)]
    assert kept == ["once"]


def test_an_end_is_called_back_once_it_is_kept(process: Process, path: Path) -> None:
    claim = process.claim(wanted())
    kept: list[list[tuple[object, ...]]] = []

    def look() -> None:
        with closing(sqlite3.connect(path)) as found:
            kept.append(found.execute("SELECT state, note FROM recipient").fetchall())

    process.ledger.end(claim, {"a": Ending(State.ACCEPTED, FIRST, "250 ok")}, look)
    wait_until(lambda: kept, what="the callback")

    assert kept == [[(State.ACCEPTED, "250 ok")]]


def test_once_it_is_kept_the_journal_forgets(process: Process) -> None:
    claim = process.claim(wanted())
    assert process.ledger.sending(claim, ["a"])
    process.ledger.answered(claim, {"a": Ending(State.ACCEPTED, FIRST, "250 ok")})
    assert process.journal._of

    done = threading.Event()
    process.ledger.end(claim, {"a": Ending(State.ACCEPTED, FIRST, "250 ok")}, done.set)

    assert done.wait(SOON_SECONDS)
    assert not process.journal._of


def test_what_cannot_be_kept_now_is_kept_later_and_told_once(
    process: Process, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    claim = process.claim(wanted(1))
    with caplog.at_level(logging.INFO), locked(path):
        for number in (2, 3):
            process.ledger.claim([wanted(number)], process.claims.extend)
        ended = threading.Event()
        process.ledger.end(claim, unsettled(claim), ended.set)
        wait_until(lambda: process.troubles, what="the trouble")
        assert process.ledger.is_in_trouble
        assert not ended.wait(0.3)
        assert len(process.claims) == 1

    assert ended.wait(SOON_SECONDS)
    wait_until(lambda: len(process.claims) == 3, what="the claims")
    assert process.troubles == [True, False]
    assert [record.message for record in caplog.records] == [
        "ledger in trouble",
        "ledger is back",
    ]


def test_without_a_note_no_dot(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = process.claim(wanted())
    with monkeypatch.context() as patched:
        patched.setattr("consumer.ledger.journal._append", _fail)
        assert not process.ledger.sending(claim, ["a"])
        wait_until(lambda: process.troubles == [True], what="the trouble")

    wait_until(lambda: process.troubles == [True, False], what="its end")
    assert process.ledger.sending(claim, ["a"])


def test_an_answer_that_cannot_be_noted_is_kept_by_the_end_of_its_claim(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = process.claim(wanted())
    assert process.ledger.sending(claim, ["a"])
    with monkeypatch.context() as patched:
        patched.setattr("consumer.ledger.journal._append", _fail)
        process.ledger.answered(claim, {"a": Ending(State.ACCEPTED, FIRST)})
        wait_until(lambda: process.troubles == [True], what="the trouble")
        ended = threading.Event()
        process.ledger.end(claim, {"a": Ending(State.ACCEPTED, FIRST)}, ended.set)
        assert not ended.wait(0.2)
        assert list(read_journal(process.owner.folder).values()) == [
            {"a": Ending(State.DOUBTFUL, FIRST)}
        ], "for whoever comes after a kill"

    assert ended.wait(SOON_SECONDS)


def test_all_that_is_old_is_pruned_a_part_at_a_time(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_module, "PRUNED_AT_ONCE", 2)
    before = Process(path)
    for number in range(5):
        before.ledger.end(before.claim(wanted(number)), {"a": Ending(State.ACCEPTED, FIRST)})
    before.die()
    later = sqlite_module._today() + 16
    monkeypatch.setattr(sqlite_module, "_today", lambda: later)
    monkeypatch.setattr(ledger_module, "HOUSEKEEPING_SECONDS", 0.05)
    monkeypatch.setattr(housekeeping_module, "NEXT_PART_SECONDS", 0.05)

    process = Process(path)

    def count() -> int:
        with closing(sqlite3.connect(path)) as found:
            return int(found.execute("SELECT count(*) FROM recipient").fetchone()[0])

    wait_until(lambda: count() == 0, SOON_SECONDS, "an empty ledger")
    process.die()


def test_closing_keeps_what_was_handed_in_before(path: Path) -> None:
    process = Process(path)
    for number in range(200):
        process.ledger.claim([wanted(number)], process.claims.extend)

    process.die()

    assert len(process.claims) == 200


def test_closing_does_not_wait_for_a_ledger_in_trouble(path: Path) -> None:
    process = Process(path)
    process.claim(wanted(1))
    with locked(path):
        process.ledger.claim([wanted(2)], process.claims.extend)
        wait_until(lambda: process.troubles, what="the trouble")
        assert not process.ledger.close(SOON_SECONDS)
    process.owner.close()


def test_nobody_waits_for_an_answer_of_a_closed_ledger(path: Path) -> None:
    process = Process(path)
    assert process.ledger.deaths([b"x" * 16]) == {}
    process.die()

    with pytest.raises(CancelledError):
        process.ledger.deaths([b"x" * 16])


def test_who_waits_while_a_ledger_in_trouble_closes_is_let_go(path: Path) -> None:
    process = Process(path)
    process.claim(wanted(1))
    let_go = threading.Event()

    def ask() -> None:
        try:
            process.ledger.deaths([b"x" * 16])
        except CancelledError:
            let_go.set()

    with locked(path):
        waiting = threading.Thread(target=ask)
        waiting.start()
        wait_until(lambda: process.troubles, what="the trouble")
        process.ledger.close(SOON_SECONDS)
        assert let_go.wait(SOON_SECONDS)
    waiting.join(SOON_SECONDS)
    process.owner.close()


def _fail(*_args: object) -> None:
    raise OSError(28, "No space left on device")


def test_every_commit_of_a_group_is_timed_and_no_other(process: Process) -> None:
    took: list[float] = []
    process.ledger.time_writes(took.append)

    claim = process.claim(wanted())
    process.ledger.deaths([b"d" * 16])
    ended = threading.Event()
    process.ledger.end(claim, unsettled(claim), ended.set)

    assert ended.wait(SOON_SECONDS)
    assert len(took) == 2
    assert all(0 < seconds < SOON_SECONDS for seconds in took)


def test_its_size_is_known_soon_and_grows(
    path: Path, monkeypatch: pytest.MonkeyPatch, process: Process
) -> None:
    wait_until(lambda: process.ledger.size_bytes > 0)
    before = process.ledger.size_bytes
    monkeypatch.setattr(housekeeping_module, "SIZE_SECONDS", 0.0)
    process.ledger._housekeeping._size_seconds = 0.0

    for number in range(200):
        process.claim(wanted(number))

    def is_known() -> bool:
        files = (path, path.with_name(f"{path.name}-wal"))
        return before < process.ledger.size_bytes == sum(file.stat().st_size for file in files)

    wait_until(is_known, what="its size")


def test_a_size_that_is_not_told_is_no_trouble(
    monkeypatch: pytest.MonkeyPatch, process: Process
) -> None:
    def refuse() -> int:
        raise LedgerTrouble("NOPERM")

    monkeypatch.setattr(process.store, "size", refuse)
    process.ledger._housekeeping._size_seconds = 0.0

    assert process.claim(wanted()).granted
    wait_until(lambda: math.isnan(process.ledger.size_bytes))
    assert not process.ledger.is_in_trouble
