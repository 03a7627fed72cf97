"""Redis did what it was asked, and its answer got lost: nothing stays held by nobody."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from consumer.core.ledger import Claim, Ending, State
from consumer.core.redis_url import RedisURL
from consumer.ledger import ledger as ledger_module
from consumer.ledger.ledger import Ledger
from consumer.ledger.redis_server import Change
from consumer.ledger.store import LedgerTrouble
from tests.ledger.stores import FIRST, RETENTION, RedisPlace, RedisProcess, wanted
from tests.support.consumer_process import wait_until
from tests.support.redis_server import redis_server

SOON_SECONDS = 10.0


@pytest.fixture
def place(tmp_path: Path) -> Iterator[RedisPlace]:
    with redis_server(tmp_path) as server:
        yield RedisPlace(RedisURL.parse(server.url), tmp_path / "hosts")


def lose_answers(
    process: RedisProcess, monkeypatch: pytest.MonkeyPatch, *message_ids: str
) -> list[str]:
    """Lose the answer to each of these messages' first grant; return whose was lost so far."""
    grant, lost = process.server.grant, list[str]()

    def grant_and_lose(changes: Sequence[Change]) -> list[bool]:
        done = grant(changes)
        fresh = {key.message_id for key, *_rest in changes} & set(message_ids) - set(lost)
        if fresh:
            lost.extend(fresh)
            raise LedgerTrouble("Redis: Timeout reading from socket")
        return done

    monkeypatch.setattr(process.server, "grant", grant_and_lose)
    return lost


@contextmanager
def ledger_of(process: RedisProcess, troubles: list[bool]) -> Iterator[Ledger]:
    """Run a process's ledger; housekeeping leaves the dead to the claims that meet them."""
    ledger = Ledger(process.store, process.notes, RETENTION)
    ledger._housekeeping._settle_seconds = time.monotonic() + 10 * SOON_SECONDS
    ledger.start(troubles.append)
    try:
        yield ledger
    finally:
        assert ledger.close(SOON_SECONDS)
        process.owner.close()


def test_an_answer_lost_in_the_second_look_is_asked_for_again_and_told_once(
    place: RedisPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "AGAIN_SECONDS", 0.05)
    dying, here = place.process(), place.process()
    orphan = wanted(message_id="orphan")
    assert dying.claim(orphan).granted
    dying.die()
    lost = lose_answers(here, monkeypatch, "orphan")
    ending = here.claim(wanted(message_id="ending"))
    ended: list[str] = []
    told: list[list[Claim]] = []
    troubles: list[bool] = []

    def done(claims: Sequence[Claim]) -> None:
        told.append(list(claims))

    with ledger_of(here, troubles) as ledger:
        with ledger._came:
            # Together, as one group.
            ledger.end(ending, {"a": Ending(State.ACCEPTED, FIRST)}, lambda: ended.append("ending"))
            ledger.claim([wanted(message_id="free"), orphan], done)
            ledger.claim([wanted(message_id="other")], done)
        wait_until(lambda: len(told) == 2, SOON_SECONDS, "what was granted")
        assert lost == ["orphan"]
        assert [[claim.granted for claim in claims] for claims in told] == [
            [("a",), ("a",)],
            [("a",)],
        ]
        assert ended == ["ending"]
        wait_until(lambda: troubles == [True, False], what="its end")
        first, second = told[0]
        assert ledger.sending(first, ["a"])
        assert ledger.sending(second, ["a"])


def test_what_a_lost_answer_granted_goes_back_where_it_is_not_granted_again(
    place: RedisPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there, third = place.process("here"), place.process("there"), place.process("third")
    lose_answers(here, monkeypatch, "m-1")
    asked = wanted("a", "b")
    with pytest.raises(LedgerTrouble):
        here.claim(asked)
    # Redis was away for us alone, longer than a lease.
    here.server._redis.zrem("hopmail:owners", here.owner.name)
    assert there.claim(wanted("a")).granted == ("a",)

    assert here.claim(asked).must_wait

    assert third.claim(wanted("b")).granted == ("b",), "it is in nobody's hands"
    assert third.claim(wanted("a")).must_wait
    for process in (here, there, third):
        process.die()


def test_what_was_doubtful_goes_back_as_doubtful(
    place: RedisPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying, here, there = (place.process(name) for name in ("here", "here", "there"))
    dying.notes.sending(dying.claim(wanted("a", "b")), ["a", "b"])
    dying.die()
    here.store.settle_dead()
    lose_answers(here, monkeypatch, "m-1")
    asked = wanted("a", "b")
    with pytest.raises(LedgerTrouble):
        here.claim(asked)
    here.server._redis.zrem("hopmail:owners", here.owner.name)
    assert there.claim(wanted("a")).doubtful == ("a",)
    assert here.claim(asked).must_wait

    assert there.claim(wanted("b")).doubtful == ("b",)
    for process in (here, there):
        process.die()
