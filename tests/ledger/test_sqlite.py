"""The ledger of one host: several processes, any of which may end at any point."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from consumer.core.endings import unsettled
from consumer.core.ledger import (
    Claim,
    Ended,
    Ending,
    Generation,
    Key,
    Standing,
    State,
    Wanted,
)
from consumer.ledger import sqlite as sqlite_module
from consumer.ledger.journal import Journal
from consumer.ledger.owner import Owner
from consumer.ledger.sqlite import SqliteStore, folders_of
from consumer.ledger.store import LedgerTrouble
from tests.support.consumer_process import wait_until

FIRST, SECOND = Generation(0, 1), Generation(0, 2)
RETENTION = timedelta(days=14)

OPENERS = 4
NEW_LEDGERS = 40


def wanted(
    *recipients: str, message_id: str = "m-1", generation: Generation = FIRST, login: str = "app"
) -> Wanted:
    return Wanted(Key(login, message_id), generation, b"p" * 16, recipients or ("a",))


class Process:
    """What one worker process has of the ledger."""

    def __init__(self, path: Path) -> None:
        self.owner = Owner(folders_of(path), 2)
        self.journal = Journal(self.owner.folder)
        self.store = SqliteStore(path, self.owner.name)

    def claim(self, each: Wanted) -> Claim:
        """Ask for one message."""
        (found,) = self.store.apply([each], [])
        return found

    def end(self, claim: Claim, state: State, generation: Generation = FIRST) -> None:
        """End a claim for all it holds."""
        ending = Ending(state, generation, "note")
        self.store.apply([], [Ended(claim, dict.fromkeys(claim.held, ending))])

    def die(self) -> None:
        """End without a word, as far as others can see."""
        self.store.close()
        self.journal.close()
        self.owner.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.sqlite3"


@pytest.fixture
def here(path: Path) -> Iterator[Process]:
    found = Process(path)
    yield found
    found.die()


@pytest.fixture
def there(path: Path) -> Iterator[Process]:
    found = Process(path)
    yield found
    found.die()


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as found:
        return found.execute(query).fetchall()


def test_of_two_processes_one_gets_a_recipient(here: Process, there: Process) -> None:
    assert here.claim(wanted("a")).granted == ("a",)

    assert there.claim(wanted("a")).must_wait
    assert there.claim(wanted("b")).granted == ("b",)
    assert here.claim(wanted("a")).must_wait, "nor may the same process begin it twice"


def test_of_copies_that_come_together_the_first_is_granted(here: Process) -> None:
    first, other, second = here.store.apply([wanted("a"), wanted("b"), wanted("a", "c")], [])

    assert first.granted == ("a",)
    assert other.granted == ("b",)
    assert second.must_wait


@pytest.mark.parametrize("count", [1, 3, 4, 5, 63, 64, 65, 200])
def test_any_number_of_claims_is_granted_and_ended_together(here: Process, count: int) -> None:
    every = [wanted("a", "b", message_id=f"m-{number}") for number in range(count)]

    claims = here.store.apply(every, [])
    ended = [
        Ended(each, dict.fromkeys(each.held, Ending(State.ACCEPTED, FIRST))) for each in claims
    ]
    here.store.apply([], ended)

    assert [each.granted for each in claims] == [("a", "b")] * count
    again = here.store.apply(every, [])
    assert [each.skipped for each in again] == [{"a": Standing.DONE, "b": Standing.DONE}] * count


def test_what_is_accepted_is_done_for_every_copy(here: Process, there: Process, path: Path) -> None:
    here.end(here.claim(wanted("a")), State.ACCEPTED)

    for generation in (FIRST, SECOND, Generation(1, 1)):
        claim = there.claim(wanted("a", generation=generation))
        assert claim.skipped == {"a": Standing.DONE}
    assert rows(path, "SELECT note, owner FROM recipient") == [("note", "")]


def test_logins_have_their_message_ids_to_themselves(here: Process) -> None:
    here.end(here.claim(wanted("a", login="app")), State.ACCEPTED)

    assert here.claim(wanted("a", login="other")).granted == ("a",)


def test_what_is_ended_in_the_same_group_can_be_claimed(here: Process) -> None:
    claim = here.claim(wanted("a"))
    ended = Ended(claim, unsettled(claim))

    (again,) = here.store.apply([wanted("a")], [ended])

    assert again.granted == ("a",)


def test_after_a_retry_was_published_the_old_copy_is_stale(here: Process) -> None:
    here.end(here.claim(wanted("a")), State.OPEN, SECOND)

    assert here.claim(wanted("a")).skipped == {"a": Standing.STALE}
    assert here.claim(wanted("a", generation=SECOND)).granted == ("a",)


def test_the_claims_of_a_dead_process_are_free_and_its_dots_in_doubt(
    here: Process, path: Path
) -> None:
    dying = Process(path)
    dying.claim(wanted("a", message_id="claimed"))
    sending = dying.claim(wanted("a", "b", message_id="sending"))
    dying.journal.sending(sending, ["b"])
    answered = dying.claim(wanted("a", message_id="answered"))
    dying.journal.sending(answered, ["a"])
    dying.journal.answered(answered, {"a": Ending(State.ACCEPTED, FIRST, "250 ok")})
    assert here.claim(wanted("a", message_id="claimed")).must_wait
    assert here.store.settle_dead() == 0

    dying.die()

    assert here.claim(wanted("a", message_id="claimed")).must_wait, "until it is settled"
    assert here.store.settle_dead() == 1
    assert here.claim(wanted("a", message_id="claimed")).granted == ("a",)
    found = here.claim(wanted("a", "b", message_id="sending"))
    assert (found.granted, found.doubtful) == (("a",), ("b",))
    assert here.claim(wanted("a", message_id="answered")).skipped == {"a": Standing.DONE}
    assert not dying.owner.folder.exists()


def test_a_doubt_outlives_every_process_that_was_to_decide_on_it(here: Process, path: Path) -> None:
    dying = Process(path)
    dying.journal.sending(dying.claim(wanted("a")), ["a"])
    dying.die()
    here.store.settle_dead()
    heir = Process(path)
    assert heir.claim(wanted("a", "b")).doubtful == ("a",)
    assert here.claim(wanted("a")).must_wait

    heir.die()

    here.store.settle_dead()
    found = here.claim(wanted("a", "b"))
    assert (found.granted, found.doubtful) == (("b",), ("a",))


def test_a_process_that_died_while_settling_is_followed_by_another(
    here: Process, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = Process(path)
    dying.owner.take(0, b"x" * 16)
    dying.journal.sending(dying.claim(wanted("a")), ["a"])
    dying.die()

    def gone(_folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("consumer.ledger.owner.remove", gone)
        with pytest.raises(KeyboardInterrupt):
            here.store.settle_dead()
    assert here.store.settle_dead() == 1, "the folder was still there"

    assert here.store.deaths([b"x" * 16]) == {b"x" * 16: 1}, "counted once"
    assert here.claim(wanted("a")).doubtful == ("a",)


def test_deaths_add_up_by_message(here: Process, path: Path) -> None:
    for _ in range(2):
        dying = Process(path)
        dying.owner.take(1, b"x" * 16)
        dying.die()
    dying = Process(path)
    dying.owner.take(0, b"y" * 16)
    dying.die()
    here.store.settle_dead()

    found = here.store.deaths([b"x" * 16, b"y" * 16, b"z" * 16])

    assert found == {b"x" * 16: 2, b"y" * 16: 1}


def test_claims_whose_owners_folder_was_removed_are_in_doubt(here: Process, path: Path) -> None:
    """Whoever removes it removes the only word on whether a dot was sent."""
    dying = Process(path)
    dying.claim(wanted("a"))
    dying.die()
    for file in dying.owner.folder.iterdir():
        file.unlink()
    dying.owner.folder.rmdir()

    assert here.claim(wanted("a")).doubtful == ("a",)


def remove(path: Path) -> None:
    for file in path.parent.glob("ledger.sqlite3*"):
        if file.is_file():
            file.unlink()


def test_after_the_file_was_removed_what_is_in_hands_stays_in_these_hands(
    here: Process, there: Process, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_module, "ANEW_SECONDS", 0.3)
    ours, theirs = here.claim(wanted("a")), there.claim(wanted("b"))
    remove(path)

    for process, alarm in ((here, "No such file"), (here, "begun anew"), (there, "begun anew")):
        with pytest.raises(LedgerTrouble, match=alarm):
            process.claim(wanted("c"))
    wait_until(lambda: time.monotonic() > there.store._grants_seconds, what="the time of grace")

    assert there.claim(wanted("a")).must_wait
    assert here.claim(wanted("b")).must_wait
    here.end(ours, State.ACCEPTED)
    there.end(theirs, State.ACCEPTED)
    assert there.claim(wanted("a", "b")).held == ()


def test_after_the_file_was_removed_what_had_ended_is_in_nobodys_hands(
    here: Process, there: Process, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_module, "ANEW_SECONDS", 0.0)
    here.end(here.claim(wanted("a")), State.OPEN)
    here.claim(wanted("b"))
    with path.open("rb"):
        # While it is open its number is not given to the next file.
        remove(path)
        with pytest.raises(LedgerTrouble):
            here.claim(wanted("c"))
        here.claim(wanted("c"))

    assert there.claim(wanted("a")).granted == ("a",)
    assert there.claim(wanted("b")).must_wait


def test_a_new_file_with_the_number_of_the_old_one_is_a_new_one(
    here: Process, there: Process, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_module, "ANEW_SECONDS", 0.0)
    here.claim(wanted("a"))
    freed = path.rename(path.with_name("freed"))
    remove(path)
    with pytest.raises(LedgerTrouble, match="No such file"):
        here.claim(wanted("b"))
    freed.write_bytes(b"")
    freed.rename(path)

    here.claim(wanted("b"))

    assert there.claim(wanted("a")).must_wait


def test_a_first_ledger_is_nobodys_successor(here: Process, path: Path) -> None:
    assert not path.exists()

    assert here.claim(wanted("a")).granted == ("a",)


def test_what_ends_after_the_file_was_removed_is_in_the_new_one(
    here: Process, there: Process, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_module, "ANEW_SECONDS", 0.0)
    claim = here.claim(wanted("a"))
    remove(path)

    with pytest.raises(LedgerTrouble):
        here.end(claim, State.ACCEPTED)
    here.end(claim, State.ACCEPTED)

    assert there.claim(wanted("a")).skipped == {"a": Standing.DONE}


def test_what_another_has_claimed_meanwhile_is_not_ended(here: Process, there: Process) -> None:
    claim = here.claim(wanted("a"))
    here.end(claim, State.OPEN)
    there.claim(wanted("a"))

    here.end(claim, State.ACCEPTED)

    assert here.claim(wanted("a")).must_wait


def test_a_group_that_fails_is_undone_whole(here: Process, path: Path) -> None:
    claim = here.claim(wanted("a"))
    with closing(sqlite3.connect(path)) as other:
        other.execute(
            "CREATE TRIGGER full BEFORE INSERT ON recipient BEGIN SELECT RAISE(FAIL, 'full'); END"
        )

    with pytest.raises(LedgerTrouble, match="full"):
        here.store.apply([wanted("b")], [Ended(claim, unsettled(claim))])

    assert rows(path, "SELECT recipient, state FROM recipient") == [("a", State.CLAIMED)]


def test_what_it_keeps_is_for_its_user_alone(here: Process, path: Path) -> None:
    here.claim(wanted("a"))

    files = {each.name: oct(each.stat().st_mode & 0o777) for each in path.parent.glob("*.sqlite3*")}
    assert files == {
        "ledger.sqlite3": "0o600",
        "ledger.sqlite3-wal": "0o600",
        "ledger.sqlite3-shm": "0o600",
        "ledger.sqlite3.owners": "0o700",
    }


def test_a_locked_file_is_trouble(
    here: Process, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_module, "BUSY_SECONDS", 0.1)
    here.claim(wanted("a"))
    here.store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerTrouble, match="locked"):
            here.claim(wanted("b"))

    assert here.claim(wanted("b")).granted == ("b",)


def test_who_comes_while_another_makes_the_file_waits_for_it(here: Process, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    # As far as another process is amid its switch to WAL.
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        done = threading.Timer(0.5, other.execute, ["COMMIT"])
        done.start()

        claim = here.claim(wanted("a"))

        done.join()
    assert claim.granted == ("a",)


def test_processes_that_open_a_new_ledger_at_once_all_can(path: Path) -> None:
    spawn = get_context("spawn")
    ready = spawn.Barrier(OPENERS)
    openers = [spawn.Process(target=_open_many, args=(path.parent, ready)) for _ in range(OPENERS)]
    for each in openers:
        each.start()
    for each in openers:
        each.join()

    assert [each.exitcode for each in openers] == [0] * OPENERS


def _open_many(folder: Path, ready: Barrier) -> None:
    """Open one new ledger after the other, each at the same moment as the others do."""
    try:
        for number in range(NEW_LEDGERS):
            store = SqliteStore(folder / str(number) / "ledger.sqlite3", "me")
            ready.wait()
            store.apply([], [])
            store.close()
    except BaseException:
        ready.abort()
        raise


def test_what_is_no_ledger_is_trouble_and_is_left_alone(here: Process, path: Path) -> None:
    path.write_bytes(b"precious" * 1000)

    with pytest.raises(LedgerTrouble, match="not a database"):
        here.claim(wanted("a"))

    assert path.read_bytes() == b"precious" * 1000


def test_pruning_forgets_what_is_old_but_no_living_claim(
    here: Process, there: Process, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = sqlite_module._today()
    for name, state in (("open", State.OPEN), ("held", State.HELD), ("sent", State.ACCEPTED)):
        here.end(here.claim(wanted("a", message_id=name)), state)
    there.claim(wanted("a", message_id="claimed"))
    dying = Process(path)
    dying.claim(wanted("a", message_id="orphan"))
    dying.owner.take(0, b"x" * 16)
    dying.die()
    here.store.settle_dead()

    monkeypatch.setattr(sqlite_module, "_today", lambda: today + 14)
    assert here.store.prune(RETENTION) == 0
    monkeypatch.setattr(sqlite_module, "_today", lambda: today + 16)
    assert here.store.prune(RETENTION) == 4

    assert rows(path, "SELECT message_id FROM recipient") == [("claimed",)]
    assert here.store.deaths([b"x" * 16]) == {}


def test_durable_waits_for_the_disk(path: Path) -> None:
    found = {}
    for durable in (False, True):
        store = SqliteStore(path, "me", durable=durable)
        found[durable] = store._connected().execute("PRAGMA synchronous").fetchone()[0]
        store.close()

    assert found == {False: 1, True: 2}
