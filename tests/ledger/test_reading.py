"""The ledger looked at beside those who change it: what is told, and that nothing is touched."""

import itertools
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from consumer.core.found import Holder, Known, KnownRecipient
from consumer.core.ledger import Ending, Generation, Key, State
from consumer.core.ledger_url import LedgerURL
from consumer.core.redis_url import RedisURL
from consumer.ledger.reading import open_reader
from consumer.ledger.redis_reading import RedisReader
from consumer.ledger.redis_server import STAMP
from consumer.ledger.sqlite_reading import SqliteReader
from consumer.ledger.store import LedgerTrouble, Reader
from tests.ledger.stores import (
    FIRST,
    RETENTION,
    SECOND,
    Place,
    Process,
    RedisPlace,
    SqlitePlace,
    wanted,
)
from tests.support.redis_server import RedisServer, redis_server

PREFIXES = itertools.count()


@pytest.fixture(scope="module")
def redis_beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis"), "--appendonly", "no") as server:
        yield server


class Beside:
    """Processes that share a ledger, and one who looks at it."""

    def __init__(self, place: Place, reader: Reader) -> None:
        self._place = place
        self.reader = reader
        self.started: list[Process] = []

    def start(self) -> Process:
        self.started.append(self._place.process())
        return self.started[-1]

    def known(self, message_id: str = "m-1", login: str | None = None) -> tuple[Known, ...]:
        return self.reader.known(message_id, login)

    def one(self, name: str = "a") -> KnownRecipient:
        (found,) = self.known()
        (recipient,) = [each for each in found.recipients if each.name == name]
        return recipient

    def told(self, name: str = "a") -> tuple[State, Holder]:
        found = self.one(name)
        return found.state, found.holder


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Beside]:
    path = tmp_path / "ledger.sqlite3"
    yield from running(Beside(SqlitePlace(path), SqliteReader(path)))


@pytest.fixture
def redis(redis_beside: RedisServer, tmp_path: Path) -> Iterator[Beside]:
    url = RedisURL.parse(f"{redis_beside.url}?prefix=t{next(PREFIXES)}:")
    yield from running(Beside(RedisPlace(url, tmp_path), RedisReader(url, RETENTION)))


def running(beside: Beside) -> Iterator[Beside]:
    with closing(beside.reader):
        yield beside
    for each in beside.started:
        each.die()


@pytest.fixture(params=["sqlite", "redis"])
def beside(request: pytest.FixtureRequest) -> Beside:
    found: Beside = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("state", [State.ACCEPTED, State.HELD, State.DEAD, State.OPEN])
def test_what_has_ended_is_told_with_its_reply_and_day(beside: Beside, state: State) -> None:
    here = beside.start()
    here.end(here.claim(wanted("a", "b")), state, SECOND)

    (found,) = beside.known()

    days = {datetime.now(UTC).date(), (datetime.now(UTC) - timedelta(minutes=5)).date()}
    assert (found.key, found.fingerprint, found.deaths) == (Key("app", "m-1"), b"p" * 16, 0)
    assert [each.name for each in found.recipients] == ["a", "b"]
    for each in found.recipients:
        assert (each.generation, each.state, each.holder) == (SECOND, state, Holder.NOBODY)
        assert each.note == "250 2.0.0 queued as 1"
        assert each.changed in days


def test_what_a_living_process_does_is_told_step_by_step(beside: Beside) -> None:
    here = beside.start()
    claim = here.claim(wanted("a"))
    assert beside.told() == (State.OPEN, Holder.LIVING)

    here.notes.sending(claim, ("a",))
    assert beside.told() == (State.DOUBTFUL, Holder.LIVING)

    here.notes.answered(claim, {"a": Ending(State.OPEN, FIRST)})
    assert beside.told() == (State.OPEN, Holder.LIVING)

    here.end(claim, State.OPEN, SECOND)
    assert beside.told() == (State.OPEN, Holder.NOBODY)


def test_who_ended_with_it_in_hands_is_told_before_and_after_that_is_settled(
    sqlite: Beside,
) -> None:
    here, there = sqlite.start(), sqlite.start()
    claim = here.claim(wanted("a", "b"))
    here.notes.sending(claim, ("a",))
    here.owner.take(0, b"p" * 16)
    here.die()
    assert sqlite.told("a") == (State.DOUBTFUL, Holder.ENDED)
    assert sqlite.told("b") == (State.OPEN, Holder.ENDED)

    assert there.store.settle_dead() == 1

    assert sqlite.told("a") == (State.DOUBTFUL, Holder.NOBODY)
    assert sqlite.told("b") == (State.OPEN, Holder.NOBODY)
    assert sqlite.known()[0].deaths == 1


def test_an_owner_whose_folder_is_gone_leaves_a_doubt(sqlite: Beside, tmp_path: Path) -> None:
    here = sqlite.start()
    here.claim(wanted("a"))

    here.owner.folder.rename(tmp_path / "elsewhere")

    assert sqlite.told() == (State.DOUBTFUL, Holder.NOBODY)


def test_who_has_no_lease_on_redis_any_more_has_ended(
    redis: Beside, redis_beside: RedisServer
) -> None:
    here = redis.start()
    here.claim(wanted("a"))
    here.die()
    assert redis.told() == (State.OPEN, Holder.LIVING), "its lease still holds"

    with redis_beside.client() as client:
        for owners in client.scan_iter("*owners"):
            client.zrem(owners, here.owner.name)

    assert redis.told() == (State.OPEN, Holder.ENDED)


def test_deaths_are_told_from_redis(redis: Beside) -> None:
    here, there = redis.start(), redis.start()
    here.end(here.claim(wanted("a")), State.OPEN)
    here.owner.take(0, b"p" * 16)
    here.die()

    there.store.settle_dead()

    assert redis.known()[0].deaths == 1


def test_each_login_s_message_is_told_apart(beside: Beside) -> None:
    here = beside.start()
    for login in ("shop", "", "büro/1", "app"):
        here.end(here.claim(wanted("a", login=login)), State.ACCEPTED)
        here.end(here.claim(wanted("a", login=login, message_id="m-2")), State.ACCEPTED)

    assert [each.key.login for each in beside.known()] == ["", "app", "büro/1", "shop"]
    assert [each.key.login for each in beside.known("m-1", "büro/1")] == ["büro/1"]
    assert beside.known("m-1", "nobody") == ()
    assert beside.known("m-3") == ()


@pytest.mark.parametrize("message_id", ["*", "m-?", "[m]-1", "m-1\\", "№ 1", "y", "^", 'a"b%41'])
def test_an_id_means_itself_only(beside: Beside, message_id: str) -> None:
    here = beside.start()
    for other in {"m-1", "x/y", f"{message_id}x", f"x/{message_id}"}:
        here.end(here.claim(wanted("a", message_id=other)), State.ACCEPTED)
    assert beside.known(message_id) == ()

    here.end(here.claim(wanted("jörg@例え.jp", message_id=message_id)), State.ACCEPTED)

    (found,) = beside.known(message_id)
    assert (found.key.message_id, found.recipients[0].name) == (message_id, "jörg@例え.jp")


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("is_used", [True, False])
def test_a_look_leaves_no_file_and_changes_none(
    sqlite: Beside, tmp_path: Path, *, is_used: bool
) -> None:
    here = sqlite.start()
    here.notes.sending(here.claim(wanted("a")), ("a",))
    if not is_used:
        here.die()
    before = contents(tmp_path)

    assert sqlite.known()
    assert sqlite.known("nothing") == ()

    after = contents(tmp_path)
    # Where SQLite marks who reads what; it is no part of what is kept.
    for found in (before, after):
        found.pop(tmp_path / "ledger.sqlite3-shm", None)
    assert after == before


def test_a_look_into_redis_changes_no_key(redis: Beside, redis_beside: RedisServer) -> None:
    here = redis.start()
    here.notes.sending(here.claim(wanted("a")), ("a",))
    here.die()

    def keys() -> dict[bytes, Any]:
        with redis_beside.client() as client:
            return {key: client.dump(key) for key in client.scan_iter()}

    before = keys()
    assert redis.known()
    assert redis.known("m-1", "app")
    assert keys() == before
    assert all(each.name != STAMP for each in redis.known()[0].recipients)


def test_who_writes_is_not_kept_waiting_by_who_looks(beside: Beside) -> None:
    here = beside.start()
    here.end(here.claim(wanted("a", generation=Generation(0, 0))), State.OPEN)
    ended = threading.Event()
    troubles: list[Exception] = []

    def look() -> None:
        while not ended.is_set():
            try:
                beside.known()
            except LedgerTrouble as trouble:
                troubles.append(trouble)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for number in range(100):
            here.end(here.claim(wanted("a", generation=Generation(0, number + 1))), State.OPEN)
    finally:
        ended.set()
        looking.join()

    assert troubles == []


def test_where_there_is_no_ledger_none_is_made(tmp_path: Path) -> None:
    reader = SqliteReader(tmp_path / "nothing" / "ledger.sqlite3")

    with pytest.raises(LedgerTrouble, match=r"there is none at .*: no consumer has begun it"):
        reader.known("m-1")

    assert list(tmp_path.iterdir()) == []


def test_what_is_no_ledger_is_trouble(tmp_path: Path) -> None:
    for name, content in (("empty", b""), ("text", b"no database" * 100)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(LedgerTrouble, match=name):
            SqliteReader(tmp_path / name).known("m-1")


def test_a_redis_that_is_away_is_trouble_without_its_password() -> None:
    reader = RedisReader(RedisURL.parse("redis://user:s3cret@127.0.0.1:1/0"), RETENTION)

    with pytest.raises(LedgerTrouble, match=r"^Redis: ") as raised:
        reader.known("m-1")

    assert "s3cret" not in str(raised.value)


def test_settings_without_a_ledger_have_no_reader() -> None:
    assert open_reader(LedgerURL.parse("none"), RETENTION) is None
    assert isinstance(open_reader(LedgerURL.parse("sqlite:///x/y"), RETENTION), SqliteReader)
    reader = open_reader(LedgerURL.parse("redis://127.0.0.1:1/0"), RETENTION)
    assert isinstance(reader, RedisReader)


def test_what_is_committed_between_two_looks_is_told_as_it_is_then(
    sqlite: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = sqlite.start()
    claim = here.claim(wanted("a"))
    here.notes.sending(claim, ("a",))
    real = SqliteReader._look

    def look(reader: SqliteReader, name: str) -> object:
        here.end(claim, State.ACCEPTED)
        return real(reader, name)

    monkeypatch.setattr(SqliteReader, "_look", look)

    assert sqlite.told() == (State.ACCEPTED, Holder.NOBODY)
