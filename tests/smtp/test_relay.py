"""Kept sessions: how long, how they end, and what is done again on a fresh one."""

import threading
import time
from pathlib import Path

import pytest

from consumer.core.envelope import Envelope
from consumer.core.outcome import Accepted, InDoubt, Refused, Reply, Stage, Unreachable
from consumer.core.relay_url import RelayURL
from consumer.smtp import relay as relay_module
from consumer.smtp.opening import NotOpened
from consumer.smtp.relay import Limits, Relay, Transactor
from tests.support.consumer_process import wait_until
from tests.support.smtp_script import Event, by_recipient, drip, endless, hang_up, say, silence
from tests.support.smtp_server import SmtpServer, smtp_server
from tests.support.transacting import ANN, CONTENT, ENVELOPE, SENDER, yes

LISTEN = "0A"
"""A socket's state in /proc/net/tcp."""

QUEUED = Accepted(Reply(250, "2.0.0", "queued"))
MANY = Envelope(SENDER, tuple(f"r{n}@example.org" for n in range(100)))


def transactor(server: SmtpServer, limits: Limits | None = None, **options: float) -> Transactor:
    url = server.url_with("", "127.0.0.1", **options)
    return Relay(RelayURL.parse(url), limits).transactor()


def accepted(relay: Transactor) -> bool:
    return set(dict(relay.transact(ENVELOPE, CONTENT, yes)).values()) == {QUEUED}


@pytest.mark.parametrize("extensions", [("PIPELINING",), ()], ids=["pipelined", "one by one"])
def test_one_session_serves_many_transactions_also_after_refusals(
    extensions: tuple[str, ...],
) -> None:
    with smtp_server(extensions=extensions) as server:
        relay = transactor(server)
        for stage in (Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.END_OF_DATA):
            for reply in ("451 4.3.0 later", "554 5.7.1 never"):
                server.script[stage.name] = say(reply)
                outcome = dict(relay.transact(ENVELOPE, CONTENT, yes))[ANN]
                server.script.clear()
                assert isinstance(outcome, Refused)
                assert outcome.stage is stage
        assert accepted(relay)
        relay.close()

    assert server.sessions == 1
    assert server.commands[-1] == "QUIT"


def test_a_session_the_relay_closed_meanwhile_costs_nothing() -> None:
    with smtp_server() as server:
        relay = transactor(server)
        assert accepted(relay)
        server.drop_sessions()
        wait_until(lambda: server.open_sessions == 0)
        answer = dict(relay.transact(ENVELOPE, CONTENT, yes))
        relay.close()

    assert answer[ANN] == QUEUED
    assert server.sessions == 2
    assert len(server.dotted) == 2


def test_a_421_to_the_first_command_of_a_kept_session_costs_nothing() -> None:
    with smtp_server({"MAIL": [None, hang_up("421 4.4.2 idle for too long")]}) as server:
        relay = transactor(server)
        assert accepted(relay)
        assert accepted(relay)
        relay.close()

    assert server.sessions == 2


def test_a_421_on_a_fresh_session_is_the_mails_own() -> None:
    with smtp_server({"MAIL": hang_up("421 4.3.2 bye")}) as server:
        relay = transactor(server)
        answer = dict(relay.transact(ENVELOPE, CONTENT, yes))
        relay.close()

    assert answer[ANN] == Refused(Stage.MAIL, Reply(421, "4.3.2", "bye"))
    assert server.sessions == 1


def test_a_421_after_the_reply_to_the_dot_is_seen_before_the_next_mail() -> None:
    rules = {"END_OF_DATA": [hang_up("250 2.0.0 queued", "421 4.3.2 bye")]}
    with smtp_server(rules) as server:
        relay = transactor(server, Limits(unchecked_seconds=0))
        assert accepted(relay)
        wait_until(lambda: server.open_sessions == 0)
        assert accepted(relay)
        relay.close()

    assert server.sessions == 2


def test_a_421_said_while_idle_ends_the_session_before_a_mail_is_told() -> None:
    with smtp_server() as server:
        relay = transactor(server, Limits(unchecked_seconds=0))
        assert accepted(relay)
        server.announce("421 4.3.2 shutting down")
        session = relay._session
        assert session is not None
        wait_until(lambda: not session.is_quiet)
        assert accepted(relay)
        relay.close()

    told = [line.split()[0] for line in server.commands if line != "DATA"]
    assert told == [*("EHLO", "MAIL", "RCPT", "RCPT", "QUIT") * 2]


@pytest.mark.parametrize("reply", ["421 4.3.2 bye", "354 what?"])
def test_after_a_strange_end_of_data_the_session_is_not_used_again(reply: str) -> None:
    with smtp_server({"END_OF_DATA": [say(reply)]}) as server:
        relay = transactor(server)
        relay.transact(ENVELOPE, CONTENT, yes)
        assert accepted(relay)
        relay.close()

    assert server.sessions == 2


def test_a_stale_session_and_a_relay_that_is_gone_is_the_relays_trouble() -> None:
    with smtp_server() as server:
        relay = transactor(server)
        assert accepted(relay)
        server.stop()
        answer = dict(relay.transact(ENVELOPE, CONTENT, yes))

    outcome = answer[ANN]
    assert isinstance(outcome, Unreachable)
    assert outcome.stage is Stage.CONNECT


@pytest.mark.parametrize(
    ("limits", "sessions"),
    [
        (Limits(), 1),
        (Limits(transactions=2), 2),
        (Limits(age_seconds=0), 4),
        (Limits(idle_seconds=0), 4),
        (Limits(unchecked_seconds=0), 1),
    ],
    ids=str,
)
def test_a_session_is_kept_within_its_limits(limits: Limits, sessions: int) -> None:
    with smtp_server() as server:
        relay = transactor(server, limits)
        for _ in range(4):
            assert accepted(relay)
        relay.close()

    assert server.sessions == sessions
    assert server.commands.count("QUIT") == sessions


def test_the_url_says_how_many_mails_a_session_takes() -> None:
    with smtp_server() as server:
        relay = transactor(server, messages_per_session=2)
        for _ in range(5):
            assert accepted(relay)
        relay.close()

    assert server.sessions == 3


def test_an_idle_session_is_spent_and_a_busy_one_is_not() -> None:
    with smtp_server() as server:
        busy, idle = transactor(server), transactor(server, Limits(idle_seconds=0.01))
        assert not busy.is_spent, "there is none yet"
        assert accepted(busy)
        assert accepted(idle)

        wait_until(lambda: idle.is_spent)
        assert not busy.is_spent
        idle.close()
        busy.close()

        assert not idle.is_spent
        wait_until(lambda: server.open_sessions == 0)


@pytest.mark.parametrize("event", [say("451 no"), hang_up(), say("421 bye")])
def test_a_session_that_cannot_be_reset_is_not_used_again(event: Event) -> None:
    with smtp_server({"MAIL": [say("450 no")], "RSET": event}) as server:
        relay = transactor(server)
        refused = dict(relay.transact(ENVELOPE, CONTENT, yes))[ANN]
        assert isinstance(refused, Refused)
        assert accepted(relay)
        relay.close()

    assert server.sessions == 2


def test_leaving_does_not_wait_for_a_relay_that_is_silent() -> None:
    with smtp_server({"QUIT": silence()}) as server:
        relay = transactor(server)
        assert accepted(relay)
        started = time.monotonic()
        relay.close()

    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "reply",
    [
        "554 SMTP synchronization error",
        "503 5.5.0 <DATA>: Data command rejected: Improper use of SMTP command pipelining",
    ],
)
def test_a_relay_out_of_step_is_pipelined_no_more(
    reply: str, caplog: pytest.LogCaptureFixture
) -> None:
    with smtp_server({"DATA": [say(reply)]}) as server:
        relay = Relay(RelayURL.parse(server.url))
        first, second = relay.transactor(), relay.transactor()
        assert accepted(first)
        assert accepted(second)
        server.script["MAIL"] = say("450 no")
        server.commands.clear()
        first.transact(ENVELOPE, CONTENT, yes)
        first.close()
        second.close()

    assert [line.split()[0] for line in server.commands[:2]] == ["MAIL", "RSET"]
    assert server.sessions == 3
    assert [record.getMessage() for record in caplog.records if record.name != "mail.log"] == [
        "relay out of step, pipelining off"
    ]


def test_pipelining_off_is_logged_once_for_all_threads(caplog: pytest.LogCaptureFixture) -> None:
    relay = Relay(RelayURL.parse("smtp://127.0.0.1:1?tls=none"))

    threads = [threading.Thread(target=relay.do_without_pipelining) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(caplog.records) == 1


def test_the_same_words_where_nothing_is_pipelined_are_a_refusal() -> None:
    with smtp_server({"DATA": say("554 no pipelining here")}, extensions=()) as server:
        relay = transactor(server)
        answer = dict(relay.transact(ENVELOPE, CONTENT, yes))
        relay.close()

    assert isinstance(answer[ANN], Refused)


@pytest.mark.parametrize("extensions", [("PIPELINING",), ()], ids=["pipelined", "one by one"])
def test_a_hundred_replies_just_in_time_do_not_add_up(
    monkeypatch: pytest.MonkeyPatch, extensions: tuple[str, ...]
) -> None:
    monkeypatch.setattr(relay_module, "LONGEST_BEFORE_DOT_SECONDS", 1.0)
    with smtp_server({"RCPT": drip("250 ok\r\n", 0.1)}, extensions=extensions) as server:
        relay = transactor(server, timeout=10)
        started = time.monotonic()
        answer = dict(relay.transact(MANY, CONTENT, yes))
        relay.close()

    assert time.monotonic() - started < 3
    assert set(answer.values()) == {
        Unreachable(Stage.RCPT, "the relay did not answer in time"),
    }


def test_no_session_is_begun_past_the_deadline() -> None:
    with smtp_server() as server:
        relay = Relay(RelayURL.parse(server.url))
        with pytest.raises(NotOpened) as caught:
            relay.open(time.monotonic() - 1)

    assert caught.value.trouble.stage is Stage.CONNECT
    assert server.sessions == 0


def test_the_reply_to_the_dot_is_waited_for_beyond_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_module, "LONGEST_BEFORE_DOT_SECONDS", 0.5)
    with smtp_server({"END_OF_DATA": drip("250 2.0.0 queued\r\n", 0.06)}) as server:
        relay = transactor(server, timeout=10)
        assert accepted(relay)
        relay.close()


def test_a_reply_that_drips_is_bounded_in_time() -> None:
    with smtp_server({"END_OF_DATA": drip("250 " + "x" * 500, 0.05)}) as server:
        relay = transactor(server, timeout=1, data_timeout=1)
        started = time.monotonic()
        answer = dict(relay.transact(ENVELOPE, CONTENT, yes))
        relay.close()

    assert 1 <= time.monotonic() - started < 4
    assert answer[ANN] == InDoubt("the relay did not answer in time")


@pytest.mark.parametrize("stage", ["EHLO", "MAIL", "END_OF_DATA"])
def test_a_reply_without_an_end_is_bounded_in_size(stage: str) -> None:
    with smtp_server({stage: endless()}) as server:
        relay = transactor(server)
        outcome = dict(relay.transact(ENVELOPE, CONTENT, yes))[ANN]
        relay.close()

    assert isinstance(outcome, Unreachable | InDoubt)
    assert outcome.detail == "the relay's reply does not end"


def test_a_relay_that_reads_no_content_is_bounded_in_time() -> None:
    with smtp_server({"CONTENT": silence()}) as server:
        relay = transactor(server, timeout=1, data_timeout=1)
        answer = dict(relay.transact(ENVELOPE, CONTENT + (b"x" * 76 + b"\r\n") * 300_000, yes))
        relay.close()

    assert answer[ANN] == Unreachable(Stage.DATA, "the relay did not answer in time")


def test_an_unknown_host_is_the_relays_trouble() -> None:
    relay = Relay(RelayURL.parse("smtp://relay.invalid?tls=none")).transactor()

    outcome = dict(relay.transact(ENVELOPE, CONTENT, yes))[ANN]

    assert isinstance(outcome, Unreachable)
    assert outcome.stage is Stage.CONNECT
    assert "relay.invalid:587: the relay's name cannot be resolved" in outcome.detail


def test_a_recipient_deferred_every_time_does_not_hold_up_the_other() -> None:
    with smtp_server({"RCPT": by_recipient({ANN: say("450 4.2.1 busy")})}) as server:
        relay = transactor(server)
        for _ in range(3):
            relay.transact(ENVELOPE, CONTENT, yes)
        relay.close()

    assert len(server.mails) == 3
    assert server.sessions == 1


def listening_ports() -> set[int]:
    """Return the ports on which this process listens, as the kernel tells."""
    inodes = {str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN and f"socket:[{fields[9]}]" in inodes:
                found.add(int(fields[1].rpartition(":")[2], 16))
    return found


def test_nothing_of_the_consumers_listens() -> None:
    with smtp_server() as server:
        relay = Relay(RelayURL.parse(server.url))
        kept = relay.transactor()
        assert accepted(kept)
        assert relay.probe().trouble is None
        assert listening_ports() == {server.port}
        kept.close()

    assert listening_ports() == set()
