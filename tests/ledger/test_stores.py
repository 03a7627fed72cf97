"""What every ledger promises, and that all give the same verdicts on the same history."""

import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.core.endings import unsettled
from consumer.core.ledger import Claim, Ended, Ending, Standing, State
from consumer.core.redis_url import RedisURL
from consumer.ledger.store import LedgerTrouble
from tests.ledger.stores import (
    FIRST,
    REPLAY,
    SECOND,
    Place,
    Process,
    RedisPlace,
    SqlitePlace,
    wanted,
)
from tests.support.redis_server import RedisServer, redis_server

Processes = Callable[[], Process]
PREFIXES = itertools.count()


@pytest.fixture(scope="module")
def redis_beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis"), "--appendonly", "no") as server:
        yield server


def redis_place(server: RedisServer, folders: Path) -> RedisPlace:
    return RedisPlace(RedisURL.parse(f"{server.url}?prefix=t{next(PREFIXES)}:"), folders)


@pytest.fixture(params=["sqlite", "redis"])
def start(
    request: pytest.FixtureRequest, redis_beside: RedisServer, tmp_path: Path
) -> Iterator[Processes]:
    """Return what starts a process that shares the one ledger."""
    started: list[Process] = []
    place: Place = SqlitePlace(tmp_path / "ledger.sqlite3")
    if request.param == "redis":
        place = redis_place(redis_beside, tmp_path)

    def start_one() -> Process:
        started.append(place.process())
        return started[-1]

    yield start_one
    for each in started:
        each.die()


def test_of_two_processes_one_gets_a_recipient(start: Processes) -> None:
    here, there = start(), start()

    assert here.claim(wanted("a", "b")).granted == ("a", "b")

    assert there.claim(wanted("a")).must_wait
    assert there.claim(wanted("b", "c")).must_wait
    assert there.claim(wanted("c")).granted == ("c",)
    assert here.claim(wanted("a")).must_wait, "nor may the same process begin it twice"


def test_of_two_copies_in_one_group_the_first_gets_it(start: Processes) -> None:
    first, second, other = start().store.apply(
        [wanted("a"), wanted("a"), wanted("a", message_id="m-2")], []
    )

    assert (first.granted, second.must_wait, other.granted) == (("a",), True, ("a",))


def test_what_is_ended_in_the_same_group_can_be_claimed(start: Processes) -> None:
    here = start()
    claim = here.claim(wanted("a"))

    (again,) = here.store.apply([wanted("a")], [Ended(claim, unsettled(claim))])

    assert again.granted == ("a",)


@pytest.mark.parametrize("state", [State.ACCEPTED, State.HELD, State.DEAD])
def test_what_has_its_fate_is_done_for_every_copy_but_a_replay_of_the_dead(
    start: Processes, state: State
) -> None:
    here, there = start(), start()
    here.end(here.claim(wanted("a")), state)

    why = Standing.DONE if state is State.ACCEPTED else Standing.DEAD
    for generation in (FIRST, SECOND):
        assert there.claim(wanted("a", generation=generation)).skipped == {"a": why}
    replayed = there.claim(wanted("a", generation=REPLAY))
    assert (replayed.granted == ("a",)) is (state is not State.ACCEPTED)


def test_logins_have_their_message_ids_to_themselves(start: Processes) -> None:
    here = start()
    here.end(here.claim(wanted("a", login="app", message_id="x/y")), State.ACCEPTED)

    assert here.claim(wanted("a", login="app/x", message_id="y")).granted == ("a",)


def test_another_body_under_the_same_key_is_a_conflict_for_whatever_recipient(
    start: Processes,
) -> None:
    here, there = start(), start()
    here.end(here.claim(wanted("a")), State.OPEN)

    assert there.claim(wanted("b", fingerprint=b"q" * 16)).is_conflict


def test_after_a_retry_was_published_the_old_copy_is_stale(start: Processes) -> None:
    here, there = start(), start()
    here.end(here.claim(wanted("a")), State.OPEN, SECOND)

    assert there.claim(wanted("a")).skipped == {"a": Standing.STALE}
    assert there.claim(wanted("a", generation=SECOND)).granted == ("a",)


def test_addresses_and_ids_may_be_of_any_script(start: Processes) -> None:
    here = start()
    here.end(here.claim(wanted("jörg@例え.jp", login="büro", message_id="№ 1")), State.ACCEPTED)

    again = here.claim(wanted("jörg@例え.jp", "x@y", login="büro", message_id="№ 1"))

    assert (again.granted, again.skipped) == (("x@y",), {"jörg@例え.jp": Standing.DONE})


def test_the_claims_of_a_dead_process_are_free_its_dots_in_doubt_and_its_answers_kept(
    start: Processes,
) -> None:
    dying, here = start(), start()
    dying.claim(wanted(message_id="claimed"))
    sending = dying.claim(wanted("a", "b", message_id="sending"))
    assert dying.notes.sending(sending, ["b"])
    answered = dying.claim(wanted("a", "b", message_id="answered"))
    assert dying.notes.sending(answered, ["a", "b"])
    endings = {"a": Ending(State.ACCEPTED, FIRST, "250 ok"), "b": Ending(State.OPEN, FIRST)}
    dying.notes.answered(answered, endings)
    assert here.claim(wanted(message_id="claimed")).must_wait
    assert here.claim(wanted(message_id="answered")).must_wait
    assert here.store.settle_dead() == 0

    dying.die()

    assert here.store.settle_dead() == 1
    assert here.claim(wanted(message_id="claimed")).granted == ("a",)
    found = here.claim(wanted("a", "b", message_id="sending"))
    assert (found.granted, found.doubtful) == (("a",), ("b",))
    found = here.claim(wanted("a", "b", message_id="answered"))
    assert (found.granted, found.skipped) == (("b",), {"a": Standing.DONE})
    assert not dying.owner.folder.exists()


def test_a_doubt_outlives_every_process_that_takes_it_over(start: Processes) -> None:
    for _ in range(2):
        dying = start()
        dying.store.settle_dead()
        claim = dying.claim(wanted("a", "b"))
        dying.notes.sending(claim, claim.granted)
        dying.die()

    here = start()
    here.store.settle_dead()

    assert here.claim(wanted("a", "b")).doubtful == ("a", "b")


def test_a_doubt_that_is_given_back_stays_one_until_it_is_decided(start: Processes) -> None:
    dying, here = start(), start()
    claim = dying.claim(wanted("a"))
    dying.notes.sending(claim, ["a"])
    dying.die()
    here.store.settle_dead()
    claim = here.claim(wanted("a"))

    here.store.apply([], [Ended(claim, unsettled(claim))])

    later = here.claim(wanted("a", generation=SECOND))
    assert later.doubtful == ("a",)
    assert here.claim(wanted("a")).skipped == {"a": Standing.STALE}
    here.end(later, State.OPEN, REPLAY)
    assert here.claim(wanted("a", generation=REPLAY)).granted == ("a",)


def test_a_dot_that_was_given_up_puts_no_later_claim_in_doubt(start: Processes) -> None:
    dying, here = start(), start()
    claim = dying.claim(wanted("a"))
    dying.notes.sending(claim, ["a"])
    dying.end(claim, State.OPEN)
    dying.claim(wanted("a"))
    dying.die()
    here.store.settle_dead()

    assert here.claim(wanted("a")).granted == ("a",)


def test_deaths_are_counted_by_message(start: Processes) -> None:
    here = start()
    for slot in (0, 1):
        dying = start()
        dying.owner.take(slot, b"x" * 16)
        dying.die()
        here.store.settle_dead()

    assert here.store.deaths([b"x" * 16, b"y" * 16]) == {b"x" * 16: 2}


def test_a_death_is_counted_once_though_the_one_who_counts_it_dies(
    start: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying, here = start(), start()
    dying.owner.take(0, b"x" * 16)
    dying.die()

    def gone(_folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("consumer.ledger.owner.remove", gone)
        with pytest.raises(KeyboardInterrupt):
            here.store.settle_dead()

    assert here.store.settle_dead() == 1, "its folder was still there"
    assert here.store.deaths([b"x" * 16]) == {b"x" * 16: 1}


def test_a_folder_that_was_half_removed_is_removed(start: Processes) -> None:
    dying, here = start(), start()
    dying.die()
    (dying.owner.folder / "hands").unlink()

    assert here.store.settle_dead() == 1
    assert not dying.owner.folder.exists()


def test_a_folder_that_cannot_be_read_is_trouble(start: Processes) -> None:
    dying, here = start(), start()
    dying.die()
    (dying.owner.folder / "lock").unlink()
    (dying.owner.folder / "lock").mkdir()

    with pytest.raises(LedgerTrouble):
        here.store.settle_dead()


MESSAGES = st.sampled_from(["m-1"] * 5 + ["m-2"])
RECIPIENTS = st.sampled_from([["a"], ["a"], ["a", "b"], ["b", "c"]])
GENERATIONS = st.sampled_from([FIRST] * 6 + [SECOND, REPLAY])
PRINTS = st.sampled_from([b"p" * 16] * 9 + [b"q" * 16])
ENDINGS = st.sampled_from([State.OPEN, State.DOUBTFUL, State.ACCEPTED, State.HELD, State.DEAD])
# What was accepted by all is ended at once, and Redis is not told twice.
ANSWERS = st.sampled_from([State.OPEN, State.DOUBTFUL])
WHO = st.integers(0, 1)
CLAIM = st.tuples(st.just("claim"), WHO, MESSAGES, RECIPIENTS, GENERATIONS, PRINTS)
STEPS = st.lists(
    st.one_of(
        *[CLAIM] * 4,
        st.tuples(st.just("sending"), WHO),
        st.tuples(st.just("answered"), WHO, ANSWERS),
        st.tuples(st.just("end"), WHO, ENDINGS),
        st.tuples(st.just("die"), WHO),
        st.tuples(st.just("die_of_the_dot"), WHO),
    ),
    min_size=20,
    max_size=40,
)


class History:
    """Two processes that share a ledger, and which of their claims are under way."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._processes = [place.process(), place.process()]
        self._claims: list[list[Claim]] = [[], []]
        self.told: list[Claim] = []

    def take(self, step: str, who: int, *how: Any) -> None:
        """Let a process take a step, with the first of its claims if it has any."""
        claim = next(iter(self._claims[who]), None)
        if step in {"claim", "die", "die_of_the_dot"}:
            getattr(self, step)(who, *how)
        elif claim is not None:
            getattr(self, step)(self._processes[who], claim, *how)
            if step == "end":
                self._claims[who].remove(claim)

    def claim(self, who: int, message_id: str, names: list[str], *rest: Any) -> None:
        generation, print_ = rest
        asked = wanted(*names, message_id=message_id, generation=generation, fingerprint=print_)
        claim = self._processes[who].claim(asked)
        self.told.append(claim)
        self._claims[who] += [claim] if claim.held else []

    def sending(self, process: Process, claim: Claim) -> None:
        assert not claim.granted or process.notes.sending(claim, claim.granted[:2])

    def answered(self, process: Process, claim: Claim, state: State) -> None:
        self.sending(process, claim)
        if claim.granted:
            ending = Ending(state, claim.wanted.generation)
            process.notes.answered(claim, dict.fromkeys(claim.granted[:2], ending))

    def end(self, process: Process, claim: Claim, state: State) -> None:
        process.end(claim, state, claim.wanted.generation)

    def die(self, who: int) -> None:
        self._processes[who].die()
        self._claims[who] = []
        self._processes[who] = self._place.process()
        assert self._processes[who].store.settle_dead() == 1

    def die_of_the_dot(self, who: int) -> None:
        for claim in self._claims[who]:
            self.sending(self._processes[who], claim)
        self.die(who)

    def close(self) -> None:
        """End both."""
        for each in self._processes:
            each.die()


@settings(max_examples=40)
@given(steps=STEPS)
def test_every_ledger_gives_the_same_verdicts(
    redis_beside: RedisServer, steps: list[tuple[Any, ...]]
) -> None:
    # In memory: nothing here is about the disk, and hundreds of ledgers would wait for it.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        places = SqlitePlace(Path(folder, "l.sqlite3")), redis_place(redis_beside, Path(folder))
        with closing(History(places[0])) as one, closing(History(places[1])) as other:
            for step in steps:
                one.take(*step)
                other.take(*step)
                assert one.told == other.told
