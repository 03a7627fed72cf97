"""A ledger is copied beside those who write it, and put back when nobody does."""

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from consumer.core.ledger import Standing, State
from consumer.core.ledger_url import LedgerURL
from consumer.ledger.backup import back_up, restore
from consumer.ledger.opening import LedgerUnusable
from consumer.ledger.statements import VERSION
from consumer.ledger.store import LedgerTrouble
from tests.ledger.stores import Process, SqlitePlace, wanted


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.sqlite3"


@pytest.fixture
def url(path: Path) -> LedgerURL:
    return LedgerURL.parse(f"sqlite://{path}")


@pytest.fixture
def here(path: Path) -> Iterator[Process]:
    found = SqlitePlace(path).process()
    yield found
    found.die()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copies" / "ledger"


def states(file: Path) -> dict[str, int]:
    with closing(sqlite3.connect(file)) as db:
        return dict(db.execute("SELECT message_id, state FROM recipient"))


def test_the_copy_has_what_was_settled_and_is_one_private_file(
    here: Process, url: LedgerURL, copy: Path
) -> None:
    copy.parent.mkdir()
    here.end(here.claim(wanted("a", "b")), State.ACCEPTED)

    copied = back_up(url, copy)

    assert copied.entries == 2
    assert states(copy) == {"m-1": State.ACCEPTED}
    assert [each.name for each in copy.parent.iterdir()] == ["ledger"]
    assert copy.stat().st_mode & 0o777 == 0o600
    assert copy.stat().st_size == copied.size_bytes


def test_it_is_of_one_moment_while_others_write(
    here: Process, path: Path, url: LedgerURL, copy: Path
) -> None:
    """Messages are settled in order, so no copy may have one without those before it."""
    copy.parent.mkdir()
    ended = threading.Event()

    def write() -> None:
        there = SqlitePlace(path).process()
        for number in range(1_000_000):
            if ended.is_set():
                break
            there.end(there.claim(wanted("a", message_id=f"{number}")), State.ACCEPTED)
        there.die()

    here.end(here.claim(wanted("a", message_id="first")), State.ACCEPTED)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(20):
            entries = back_up(url, copy).entries
            numbers = sorted(int(name) for name in states(copy) if name != "first")
            assert len(numbers) == entries - 1
            assert numbers == list(range(len(numbers)))
    finally:
        ended.set()
        writer.join()


def test_what_cannot_be_made_leaves_the_last_copy_and_nothing_else(
    here: Process, url: LedgerURL, copy: Path, path: Path
) -> None:
    copy.parent.mkdir()
    here.end(here.claim(wanted("a")), State.ACCEPTED)
    back_up(url, copy)
    here.store.close()
    path.write_bytes(b"rubbish" * 1000)

    with pytest.raises(LedgerTrouble, match="not a database"):
        back_up(url, copy)

    assert states(copy) == {"m-1": State.ACCEPTED}
    assert [each.name for each in copy.parent.iterdir()] == ["ledger"]


def test_a_folder_that_is_not_there_is_named(here: Process, url: LedgerURL, copy: Path) -> None:
    here.claim(wanted("a"))

    with pytest.raises(LedgerTrouble, match=str(copy.parent)):
        back_up(url, copy)


def test_the_ledger_is_not_copied_onto_itself(here: Process, url: LedgerURL, path: Path) -> None:
    here.claim(wanted("a"))

    with pytest.raises(LedgerUnusable, match="the ledger itself"):
        back_up(url, path)


@pytest.mark.parametrize(
    ("other", "words"), [("none", "there is no ledger"), ("redis://localhost/0", "in Redis")]
)
def test_only_a_file_is_copied(other: str, words: str, copy: Path) -> None:
    with pytest.raises(LedgerUnusable, match=words):
        back_up(LedgerURL.parse(other), copy)


def test_a_ledger_nobody_has_used_is_named(url: LedgerURL, path: Path, copy: Path) -> None:
    with pytest.raises(LedgerUnusable, match=str(path)):
        back_up(url, copy)

    assert not path.exists()


@pytest.mark.parametrize("is_gone", [False, True])
def test_put_back_it_knows_what_was_settled_before_the_copy(
    here: Process, path: Path, url: LedgerURL, copy: Path, *, is_gone: bool
) -> None:
    copy.parent.mkdir()
    here.end(here.claim(wanted("a", message_id="before")), State.ACCEPTED)
    here.claim(wanted("a", message_id="in hands"))
    back_up(url, copy)
    here.end(here.claim(wanted("a", message_id="after")), State.ACCEPTED)
    here.die()
    if is_gone:
        shutil.rmtree(path.parent)

    assert restore(url, copy).entries == 2

    there = SqlitePlace(path).process()
    there.store.settle_dead()
    assert there.claim(wanted("a", message_id="before")).skipped == {"a": Standing.DONE}
    assert there.claim(wanted("a", message_id="after")).granted == ("a",)
    found = there.claim(wanted("a", message_id="in hands"))
    # With its owner's notes it is known that no dot went out; without them it is not.
    assert (found.granted, found.doubtful) == (((), ("a",)) if is_gone else (("a",), ()))
    there.die()


def test_it_is_not_put_back_under_a_worker(here: Process, url: LedgerURL, copy: Path) -> None:
    copy.parent.mkdir()
    here.end(here.claim(wanted("a")), State.ACCEPTED)
    back_up(url, copy)

    with pytest.raises(LedgerUnusable, match="stop them first"):
        restore(url, copy)


@pytest.mark.parametrize("rubbish", [b"", b"rubbish" * 1000])
def test_what_is_no_ledger_is_not_put_back(
    here: Process, path: Path, url: LedgerURL, copy: Path, rubbish: bytes
) -> None:
    copy.parent.mkdir()
    copy.write_bytes(rubbish)
    here.end(here.claim(wanted("a")), State.ACCEPTED)
    here.die()

    with pytest.raises((LedgerUnusable, LedgerTrouble)):
        restore(url, copy)

    assert states(path) == {"m-1": State.ACCEPTED}


def test_a_later_versions_ledger_is_left_alone(here: Process, path: Path) -> None:
    here.claim(wanted("a"))
    here.store.close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")

    with pytest.raises(LedgerTrouble, match="a later version of Hopmail"):
        here.claim(wanted("b"))

    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION + 1,)
