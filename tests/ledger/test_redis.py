"""The ledger of several hosts: leases, lost answers, and a Redis that is down, slow or full."""

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from consumer.core.ledger import Ended, Ending, Standing, State
from consumer.core.redis_url import RedisURL
from consumer.ledger.redis_probe import probe_redis
from consumer.ledger.redis_server import without_login
from consumer.ledger.store import LedgerTrouble
from tests.ledger.stores import FIRST, RETENTION, SECOND, RedisPlace, RedisProcess, wanted
from tests.support.consumer_process import wait_until
from tests.support.redis_server import RedisServer, redis_server

OWNERS, PULSE = "hopmail:owners", "hopmail:pulse"
TROUBLE_SECONDS = 4.0
"""Two are promised; this machine is shared."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as found:
        yield found


@pytest.fixture
def client(server: RedisServer) -> Iterator[redis.Redis]:
    with server.client() as found:
        yield found


@pytest.fixture
def place(server: RedisServer, tmp_path: Path) -> RedisPlace:
    return RedisPlace(RedisURL.parse(server.url), tmp_path / "hosts")


@pytest.fixture
def here(place: RedisPlace) -> Iterator[RedisProcess]:
    found = place.process("here")
    yield found
    found.die()


@pytest.fixture
def there(place: RedisPlace) -> Iterator[RedisProcess]:
    found = place.process("there")
    yield found
    found.die()


def end_lease(client: redis.Redis, process: RedisProcess) -> None:
    """Let a silent process's lease run out, as time would."""
    client.zadd(OWNERS, {process.owner.name: 1})


def silence(process: RedisProcess) -> None:
    """Stop renewing, as a process that is stopped does."""
    process.server._closing.set()
    process.server._thread.join()
    process.server._closing.clear()


def test_another_hosts_claims_are_taken_once_its_lease_has_ended(
    here: RedisProcess, there: RedisProcess, client: redis.Redis
) -> None:
    there.claim(wanted(message_id="claimed"))
    there.notes.sending(there.claim(wanted(message_id="sending")), ["a"])
    silence(there)
    assert here.claim(wanted(message_id="claimed")).must_wait
    assert here.store.settle_dead() == 0

    end_lease(client, there)

    assert here.claim(wanted(message_id="claimed")).granted == ("a",)
    assert here.claim(wanted(message_id="sending")).doubtful == ("a",)


def test_who_comes_back_after_its_lease_sends_no_dot_for_what_was_taken(
    here: RedisProcess, there: RedisProcess, client: redis.Redis
) -> None:
    taken, untouched = there.claim(wanted("a", "b")), there.claim(wanted(message_id="m-2"))
    silence(there)
    end_lease(client, there)
    again = here.claim(wanted("b"))

    assert not there.notes.sending(taken, ["a", "b"])
    assert not there.notes.sending(taken, ["b"])
    assert there.notes.sending(untouched, ["a"]), "nobody took it, and nobody can from now on"
    assert here.claim(wanted(message_id="m-2")).must_wait
    there.end(taken, State.DEAD)
    assert here.notes.sending(again, ["b"])
    here.end(again, State.ACCEPTED)
    assert there.claim(wanted("b")).skipped == {"b": Standing.DONE}


def test_a_claim_of_its_own_that_was_taken_and_ended_meanwhile_is_not_mistaken_for_it(
    here: RedisProcess, there: RedisProcess, client: redis.Redis
) -> None:
    there.claim(wanted(message_id="before"))
    first = there.claim(wanted("a"))
    end_lease(client, there)
    here.end(here.claim(wanted("a")), State.OPEN)
    for number in range(8):
        there.claim(wanted(message_id=f"between-{number}"))
    # The tenth ticket begins as the first does.
    second = there.claim(wanted("a"))

    assert not there.notes.sending(first, ["a"])
    there.end(first, State.ACCEPTED)
    assert there.notes.sending(second, ["a"])


def test_an_answer_that_came_after_its_process_was_stopped_too_long_lets_no_dot_go(
    here: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = here.claim(wanted("a"))
    moments = iter([0.0, 6.0])
    monkeypatch.setattr("consumer.ledger.redis_notes.monotonic", lambda: next(moments))

    assert not here.notes.sending(claim, ["a"])


def test_a_lease_is_renewed_for_as_long_as_the_process_lives(
    here: RedisProcess, client: redis.Redis
) -> None:
    here.claim(wanted("a"))
    first = client.zscore(OWNERS, here.owner.name)

    wait_until(lambda: client.zscore(OWNERS, here.owner.name) != first, 10)


def test_while_redis_was_away_nobodys_lease_ends(
    here: RedisProcess, there: RedisProcess, client: redis.Redis
) -> None:
    there.notes.sending(there.claim(wanted("a")), ["a"])
    for each in (here, there):
        silence(each)
    now = int(time.time() * 1000)
    gone = here.owner.name + "x"
    client.zadd(OWNERS, {there.owner.name: now - 50_000, gone: now - 70_000})
    client.set(PULSE, now - 60_000)

    assert here.claim(wanted("a")).must_wait

    lease = client.zscore(OWNERS, there.owner.name)
    assert isinstance(lease, float)
    assert lease > now
    assert client.zscore(OWNERS, gone) is None, "it had died before"


def test_a_clock_that_was_set_back_keeps_no_dead_process_alive(
    here: RedisProcess, there: RedisProcess, client: redis.Redis
) -> None:
    silence(there)
    now = int(time.time() * 1000)
    client.zadd(OWNERS, {there.owner.name: now + 3_600_000})
    client.set(PULSE, now + 3_590_000)

    here.claim(wanted("a"))

    lease = client.zscore(OWNERS, there.owner.name)
    assert isinstance(lease, float)
    assert lease < now + 60_000


def test_who_leaves_is_gone_at_once(here: RedisProcess, there: RedisProcess) -> None:
    there.claim(wanted("a"))

    there.store.close()

    assert here.claim(wanted("a")).granted == ("a",)
    with pytest.raises(LedgerTrouble, match="closed"):
        there.notes.check()


def test_a_group_whose_answer_was_lost_is_granted_again_and_ended_once(
    here: RedisProcess, there: RedisProcess
) -> None:
    there.notes.sending(there.claim(wanted("d", message_id="m-2")), ["d"])
    there.store.close()
    ended = Ended(here.claim(wanted("a")), {"a": Ending(State.OPEN, SECOND)})
    asked = [
        wanted("a"),
        wanted("a", generation=SECOND),
        wanted("a", generation=SECOND),
        wanted("d", "e", message_id="m-2"),
    ]
    first = here.store.apply(asked, [ended])

    again = here.store.apply(asked, [ended])

    assert again == first
    assert [claim.granted for claim in again] == [(), ("a",), (), ("e",)]
    assert again[2].must_wait
    assert again[3].doubtful == ("d",)
    assert here.notes.sending(again[1], ["a"])


def test_what_changed_between_reading_and_writing_is_decided_anew(
    here: RedisProcess, there: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = here.server.read
    came = iter([True])

    def read_and_be_overtaken(*keys: object) -> object:
        found = read(*keys)  # type: ignore[arg-type]  # handed on as it came
        if next(came, False):
            there.claim(wanted("b"))
        return found

    monkeypatch.setattr(here.server, "read", read_and_be_overtaken)

    mine, other = here.store.apply([wanted("a", "b"), wanted("x", message_id="m-2")], [])

    assert mine.must_wait
    assert other.granted == ("x",)
    assert here.claim(wanted("a")).granted == ("a",), "half of it was not taken"


def test_many_processes_that_ask_at_once_get_a_recipient_once(place: RedisPlace) -> None:
    started = [place.process(f"host-{n}") for n in range(4)]
    asked = [str(n) for n in range(40)]
    got: list[str] = []

    def ask(process: RedisProcess) -> None:
        for number in asked:
            got.extend(number for _ in process.claim(wanted(message_id=number)).granted)

    threads = [threading.Thread(target=ask, args=(each,)) for each in started]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for process in started:
        process.die()

    assert sorted(got) == sorted(asked)


def test_entries_outlive_the_retention_and_then_go_by_themselves(
    here: RedisProcess, client: redis.Redis
) -> None:
    claim = here.claim(wanted("a"))
    (key,) = client.keys("hopmail:message:*")
    for step in ("claimed", "sending", "ended"):
        if step == "sending":
            here.notes.sending(claim, ["a"])
        if step == "ended":
            here.end(claim, State.ACCEPTED)
        left = client.pttl(key)
        assert isinstance(left, int)
        assert left > RETENTION.total_seconds() * 1000, step
        client.persist(key)
    assert here.store.prune(RETENTION) == 0


def test_prefixes_share_a_database(server: RedisServer, tmp_path: Path) -> None:
    places = [
        RedisPlace(RedisURL.parse(f"{server.url}?prefix={prefix}:"), tmp_path / prefix)
        for prefix in ("one", "two")
    ]
    started = [place.process() for place in places]

    assert [process.claim(wanted("a")).granted for process in started] == [("a",), ("a",)]
    for process in started:
        process.die()


def test_what_redis_forgot_is_not_sent_on_but_its_outcome_is_kept(
    here: RedisProcess, there: RedisProcess, client: redis.Redis
) -> None:
    waiting, dotted = here.claim(wanted("a")), here.claim(wanted("b", message_id="m-2"))
    here.notes.sending(dotted, ["b"])
    client.flushdb()

    assert not here.notes.sending(waiting, ["a"])
    here.end(dotted, State.ACCEPTED)
    assert there.claim(wanted("b", message_id="m-2")).skipped == {"b": Standing.DONE}


def assert_trouble(process: RedisProcess, match: str) -> None:
    started = time.monotonic()
    with pytest.raises(LedgerTrouble, match=match):
        process.store.apply([], [])
    with pytest.raises(LedgerTrouble, match=match):
        process.claim(wanted("z", message_id="z"))
    with pytest.raises(LedgerTrouble, match=match):
        process.notes.check()
    assert time.monotonic() - started < 3 * TROUBLE_SECONDS


def test_a_redis_that_ends_is_trouble_until_it_is_back_with_all_it_knew(
    here: RedisProcess, server: RedisServer
) -> None:
    claim = here.claim(wanted("a"))
    server.kill()
    assert_trouble(here, "Redis: .*refused")
    with pytest.raises(LedgerTrouble):
        here.notes.sending(claim, ["a"])
    with pytest.raises(LedgerTrouble):
        here.store.deaths([b"x" * 16])

    server.start()

    assert here.claim(wanted("a")).must_wait
    assert here.notes.sending(claim, ["a"])


def test_a_connection_that_broke_since_is_no_trouble(
    here: RedisProcess, server: RedisServer
) -> None:
    here.claim(wanted("a"))
    server.kill()
    server.start()

    assert here.claim(wanted("b")).granted == ("b",)


def test_a_redis_that_hangs_is_trouble(here: RedisProcess, server: RedisServer) -> None:
    here.claim(wanted("a"))
    server.signal(signal.SIGSTOP)
    try:
        assert_trouble(here, "Redis: .*[Tt]ime")
    finally:
        server.signal(signal.SIGCONT)

    wait_until(lambda: here.store.apply([], []) == [], 10)


def test_a_redis_that_is_full_is_trouble_and_changes_nothing(
    here: RedisProcess, client: redis.Redis
) -> None:
    claim = here.claim(wanted("a"))
    silence(here)
    client.config_set("maxmemory", "1")
    with pytest.raises(LedgerTrouble, match="maxmemory"):
        here.claim(wanted("b", message_id="m-2"))
    with pytest.raises(LedgerTrouble, match="maxmemory"):
        here.notes.sending(claim, ["a"])

    client.config_set("maxmemory", "0")

    assert here.claim(wanted("b", message_id="m-2")).granted == ("b",)
    assert here.notes.sending(claim, ["a"])


def test_a_replica_is_trouble_until_it_is_promoted(
    here: RedisProcess, client: redis.Redis, tmp_path: Path
) -> None:
    claim = here.claim(wanted("a"))
    (tmp_path / "master").mkdir()
    with redis_server(tmp_path / "master") as master:
        client.replicaof("127.0.0.1", str(master.port))
        with pytest.raises(LedgerTrouble, match="read only replica"):
            here.notes.sending(claim, ["a"])

        client.replicaof("NO", "ONE")

    assert here.store.apply([], []) == []


def test_a_wrong_password_is_trouble_that_does_not_tell_it(
    server: RedisServer, tmp_path: Path, client: redis.Redis
) -> None:
    client.config_set("requirepass", "right")
    url = RedisURL.parse(server.url.replace("//", "//:s3cr3t@"))
    process = RedisPlace(url, tmp_path).process()

    with pytest.raises(LedgerTrouble) as trouble:
        process.claim(wanted("a"))

    assert "s3cr3t" not in str(trouble.value)
    assert "invalid" in str(trouble.value)
    process.die()


def test_a_redis_that_quotes_the_login_is_trouble_that_does_not_tell_it(tmp_path: Path) -> None:
    with redis_server(tmp_path, "--rename-command", "AUTH", "") as odd:
        url = RedisURL.parse(odd.url.replace("//", "//s0mebody:hunter2-s3cret@"))
        process = RedisPlace(url, tmp_path).process()
        with pytest.raises(LedgerTrouble) as trouble:
            process.claim(wanted("a"))
        (found,) = probe_redis(url)
        process.die()

    for text in (str(trouble.value), found.text):
        assert "unknown command" in text
        assert "s0mebody" not in text
        assert "hunter2" not in text


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("no AUTH for p-ada-p, ada", "no AUTH for ***, ***"),
        ("unknown command 'X', with args beginning with: 'p-a", "unknown command 'X'"),
        ("Connection refused", "Connection refused"),
    ],
)
def test_what_redis_says_is_told_without_user_password_and_arguments(words: str, left: str) -> None:
    url = RedisURL.parse("redis://ada:p-ada-p@h/0")

    assert without_login(redis.ResponseError(words), url) == left


def test_a_restart_between_the_dot_and_the_answer_costs_nothing(
    here: RedisProcess, there: RedisProcess, server: RedisServer
) -> None:
    claim = here.claim(wanted("a"))
    here.notes.sending(claim, ["a"])
    server.kill()
    server.start()
    assert there.claim(wanted("a")).must_wait

    here.end(claim, State.ACCEPTED, FIRST)

    assert there.claim(wanted("a")).skipped == {"a": Standing.DONE}


def test_its_size_is_the_memory_that_redis_uses(here: RedisProcess, client: redis.Redis) -> None:
    before = here.store.size()
    client.set("other", b"x" * 1_000_000)

    assert here.store.size() - before > 900_000


def test_a_redis_that_does_not_tell_its_size_can_be_written_all_the_same(tmp_path: Path) -> None:
    with redis_server(tmp_path, "--rename-command", "INFO", "") as server:
        process = RedisPlace(RedisURL.parse(server.url), tmp_path / "hosts").process()
        try:
            with pytest.raises(LedgerTrouble, match="does not tell its size"):
                process.store.size()
            assert process.claim(wanted()).granted
        finally:
            process.die()
