"""Never twice: what the ledger does for a running consumer, whatever ends it."""

import json
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from consumer.core.ledger import ALONE_AFTER_DEATHS, POISON_AFTER_DEATHS, State
from consumer.core.topology import DEAD_QUEUE, lane_queue
from publisher_lib.routing import Lane
from tests.support.broker import VirtualHost
from tests.support.consumer_process import ConsumerProcess, consuming, state_folder, wait_until
from tests.support.smtp_script import Event, hang_up, late, say, silence
from tests.support.smtp_server import SmtpServer, smtp_server
from tests.support.smtp_sink import MESSAGE_ID, SmtpSink, smtp_sink

QUEUE = lane_queue(Lane.TRANSACTIONAL)


def email(to: object = "ada@example.org", text: str = "Hello", **fields: object) -> bytes:
    known = {
        "email_to": to,
        "email_from": "app@example.org",
        "subject": "Hello",
        "message": {"text": text},
    }
    return json.dumps(known | fields).encode()


def outcomes(process: ConsumerProcess, message_id: str) -> list[str]:
    return [line["outcome"] for line in process.handled(message_id)]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def test_a_message_published_twice_is_sent_once(vhost: VirtualHost, tmp_path: Path) -> None:
    with smtp_sink(tmp_path) as sink, consuming(vhost.url, sink.url) as process:
        for _ in range(3):
            vhost.publish_raw(email(), message_id="m-1")
        vhost.publish_raw(email("bob@example.org"), message_id="m-2")
        wait_until(lambda: len(process.events("handled")) == 4, what="four deliveries")

        assert sink.count() == 2
        assert sorted(outcomes(process, "m-1")) == ["accepted", "duplicate", "duplicate"]
    assert vhost.queue_depth(QUEUE) == 0


def test_another_message_under_the_same_id_is_a_conflict(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    with smtp_sink(tmp_path) as sink, consuming(vhost.url, sink.url) as process:
        vhost.publish_raw(email(), message_id="m-1")
        wait_until(lambda: process.handled("m-1"), what="the first")
        vhost.publish_raw(email("bob@example.org", "Another"), message_id="m-1")

        (dead,) = vhost.dead_letters(1)

        assert dead.headers["x-hopmail-reason"] == "conflict"
        assert sink.count() == 1


@pytest.mark.parametrize(("policy", "end"), [("resend", "accepted"), ("hold", "in_doubt")])
def test_killed_between_dot_and_answer_the_mail_is_in_doubt(
    vhost: VirtualHost, tmp_path: Path, policy: str, end: str
) -> None:
    with (
        smtp_server({"END_OF_DATA": [silence()]}) as server,
        consuming(vhost.url, server.url, if_uncertain=policy) as first,
    ):
        vhost.publish_raw(email(), message_id="m-1")
        wait_until(lambda: len(server.dotted) == 1, what="the dot")
        first.signal(signal.SIGKILL)
        first.wait(10)

    with smtp_sink(tmp_path) as sink, consuming(vhost.url, sink.url, if_uncertain=policy) as second:
        wait_until(lambda: outcomes(second, "m-1"), what="the doubt")
        assert outcomes(second, "m-1")[0] == "in_doubt"
        if policy == "hold":
            (dead,) = vhost.dead_letters(1)
            assert dead.headers["x-hopmail-reason"] == end
        else:
            wait_until(lambda: outcomes(second, "m-1")[-1] == end, what="the second copy")
            assert sink.count() == 1


def test_a_doubt_beside_a_recipient_that_waits_for_the_relay_is_told_once(
    vhost: VirtualHost,
) -> None:
    def later_for_bob(argument: str) -> Event | None:
        return say("450 4.2.1 later") if "bob@" in argument else None

    names = ["ada@example.org", "bob@example.org"]
    with (
        smtp_server({"RCPT": later_for_bob, "END_OF_DATA": [silence()]}) as server,
        consuming(vhost.url, server.url) as first,
    ):
        vhost.publish_raw(email(names), message_id="m-1")
        wait_until(lambda: len(server.dotted) == 1, what="the dot")
        first.signal(signal.SIGKILL)
        first.wait(10)

    busy = say("421 4.3.2 busy")
    with (
        smtp_server({"GREETING": [busy, None, busy, None]}) as server,
        consuming(vhost.url, server.url) as second,
    ):
        wait_until(lambda: len(server.mails) == 2, 40, "both mails")
        told = Counter(
            verdict["outcome"]
            for line in second.handled("m-1")
            for verdict in line.get("verdicts", [line])
        )

    assert told["unreachable"] >= 1
    assert told["in_doubt"] == 1


def test_with_no_kill_in_the_window_nothing_is_in_doubt(vhost: VirtualHost, tmp_path: Path) -> None:
    """Killed while it holds mails that are claimed, but of which no dot was sent."""
    with smtp_server({"MAIL": silence()}) as server, consuming(vhost.url, server.url) as first:
        for number in range(8):
            vhost.publish_raw(email(), message_id=f"m-{number}")
        wait_until(lambda: server.commands.count("MAIL FROM:<app@example.org>") >= 1, what="MAIL")
        first.signal(signal.SIGKILL)
        first.wait(10)

    with smtp_sink(tmp_path) as sink, consuming(vhost.url, sink.url) as second:
        wait_until(lambda: sink.count() == 8, what="all of them")
        wait_until(lambda: len(second.events("handled")) == 8, what="their records")
        assert {line["outcome"] for line in second.events("handled")} == {"accepted"}


def test_killed_after_the_answer_and_before_its_commit_nothing_is_in_doubt(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    with (
        smtp_server({"END_OF_DATA": [late(1.0, "250 2.0.0 queued")]}) as server,
        consuming(vhost.url, server.url) as first,
    ):
        vhost.publish_raw(email(), message_id="m-1")
        wait_until(lambda: server.dotted, what="the dot")
        with locked(state_folder(vhost.url) / "ledger.sqlite3"):
            wait_until(lambda: server.mails, what="the answer")
            journals = state_folder(vhost.url).glob("ledger.sqlite3.owners/*/a.journal")
            (journal,) = journals
            wait_until(lambda: b"answered" in journal.read_bytes(), what="its note")
            first.signal(signal.SIGKILL)
            first.wait(10)

    with smtp_sink(tmp_path) as sink, consuming(vhost.url, sink.url) as second:
        wait_until(lambda: outcomes(second, "m-1"), what="the copy")
        assert outcomes(second, "m-1") == ["duplicate"]
        assert sink.count() == 0


DIES_BEFORE_SETTLING = """
import os
from consumer.__main__ import main
from consumer.amqp.settle import Settler

Settler.settle = lambda *_: os._exit(9)
main()
"""


def test_a_doubt_is_told_before_it_is_acted_upon(vhost: VirtualHost) -> None:
    """Else a copy might go out of which nobody had been told."""
    with smtp_server({"END_OF_DATA": hang_up()}) as server:
        process = ConsumerProcess(vhost.url, server.url, ("-c", DIES_BEFORE_SETTLING))
        try:
            process.wait_ready()
            vhost.publish_raw(email(), message_id="m-1")
            assert process.wait(15) == 9
        finally:
            process.kill()

    assert outcomes(process, "m-1") == ["in_doubt"]


def test_a_slow_relay_makes_no_poison_of_a_healthy_mail(vhost: VirtualHost, tmp_path: Path) -> None:
    with smtp_server({"MAIL": silence()}) as server:
        for kill in range(POISON_AFTER_DEATHS + 1):
            with consuming(vhost.url, server.url) as process:
                if kill == 0:
                    vhost.publish_raw(email(), message_id="m-1")
                asked = "MAIL FROM:<app@example.org>"
                wait_until(lambda: server.commands.count(asked) == kill + 1, what="MAIL")  # noqa: B023 - called at once
                process.signal(signal.SIGKILL)
                process.wait(10)

    with smtp_sink(tmp_path) as sink, consuming(vhost.url, sink.url) as last:
        wait_until(lambda: outcomes(last, "m-1"), what="its end")
        assert outcomes(last, "m-1") == ["accepted"]
        assert sink.count() == 1


def test_accepted_recipients_are_not_served_again_with_the_deferred_one(vhost: VirtualHost) -> None:
    def later_for_b(argument: str) -> Event | None:
        return say("450 4.2.1 later") if "b@" in argument else None

    with smtp_server({"RCPT": later_for_b}) as server, consuming(vhost.url, server.url) as process:
        for _ in range(2):
            vhost.publish_raw(email(["a@example.org", "b@example.org"]), message_id="m-1")
        vhost.dead_letters(1)

        assert [mail.recipients for mail in server.mails] == [("a@example.org",)]
        assert "duplicate" in outcomes(process, "m-1")


def test_a_copy_of_a_dead_letter_is_told_apart_from_one_of_a_sent_mail(vhost: VirtualHost) -> None:
    refuse = {"RCPT": lambda to: say("550 5.1.1 no such user") if "b@" in to else None}
    with smtp_server(refuse) as server, consuming(vhost.url, server.url) as process:
        for to in ("a@example.org", "b@example.org"):
            for _ in range(2):
                vhost.publish_raw(email(to), message_id=to)
            wait_until(lambda: len(outcomes(process, to)) == 2, what="both copies")  # noqa: B023 - called at once

        said = {name: str(process.handled(name)) for name in ("a@example.org", "b@example.org")}
    assert "another copy of it was settled before" in said["a@example.org"]
    assert "a dead letter: send that again, or use a new id" in said["b@example.org"]
    assert "settled before" not in said["b@example.org"]


def test_a_dead_letter_put_back_by_hand_is_tried_again(vhost: VirtualHost) -> None:
    refuse_once = [say("550 5.1.1 no such user")]
    with smtp_server({"RCPT": refuse_once}) as server, consuming(vhost.url, server.url):
        vhost.publish_raw(email(), message_id="m-1")
        (dead,) = vhost.dead_letters(1)
        for _ in range(2):
            vhost.publish_raw(
                dead.body,
                url=vhost.url,
                message_id="m-1",
                headers=dead.headers,
                user_id=f"hopmail-{vhost.name}",
            )
        wait_until(lambda: len(server.mails) == 1, what="the mail")
        vhost.wait_for_depth(QUEUE, 0)

    assert len(server.mails) == 1, "the second copy of the replay found it accepted"


def test_while_the_ledger_cannot_be_written_nothing_is_sent_and_nothing_is_kept(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    with smtp_sink(tmp_path) as sink, consuming(vhost.url, sink.url) as process:
        with locked(state_folder(vhost.url) / "ledger.sqlite3"):
            for number in range(5):
                vhost.publish_raw(email(), message_id=f"m-{number}")
            wait_until(lambda: process.events("ledger in trouble"), what="the alarm")
            wait_until(lambda: vhost.consumers_of(QUEUE) == 0, what="no consumer")
            vhost.wait_for_depth(QUEUE, 5)
            assert sink.count() == 0

        wait_until(lambda: sink.count() == 5, 30, "all of them")
        assert process.events("ledger is back")
        wait_until(lambda: len(process.events("handled")) == 5, what="their records")


def test_the_ledger_may_be_removed_between_dot_and_answer(vhost: VirtualHost) -> None:
    ledger = state_folder(vhost.url) / "ledger.sqlite3"
    with (
        smtp_server({"END_OF_DATA": [late(3.0, "250 2.0.0 queued")]}) as server,
        consuming(vhost.url, server.url) as process,
    ):
        vhost.publish_raw(email(), message_id="m-1")
        wait_until(lambda: server.dotted, what="the dot")
        for path in ledger.parent.glob("ledger.sqlite3*"):
            if path.is_file():
                path.unlink()
        vhost.publish_raw(email(), message_id="m-2")
        wait_until(lambda: process.handled("m-2"), 30, "the other")
        wait_until(lambda: vhost.unsettled(QUEUE) == 0, 30, "an empty lane")

        assert len(server.dotted) == 2
        assert outcomes(process, "m-1")[0] == "accepted"


def test_a_ledger_that_was_removed_is_begun_anew(vhost: VirtualHost, tmp_path: Path) -> None:
    ledger = state_folder(vhost.url) / "ledger.sqlite3"
    with smtp_sink(tmp_path) as sink, consuming(vhost.url, sink.url) as process:
        vhost.publish_raw(email(), message_id="m-1")
        wait_until(lambda: process.handled("m-1"), what="the first")
        for path in ledger.parent.glob("ledger.sqlite3*"):
            if path.is_file():
                path.unlink()
        vhost.publish_raw(email(), message_id="m-2")
        wait_until(lambda: process.handled("m-2"), 30, "the second")

    with closing(sqlite3.connect(ledger)) as found:
        assert found.execute("SELECT message_id FROM recipient").fetchall() == [("m-2",)]


DIES_OF_POISON = """
import os, time
from pathlib import Path
from consumer import attempt
from consumer.__main__ import main
from consumer.smtp.failover import Failover

compose, transact, under_way = attempt.compose, Failover.transact, []

def slowly(*arguments):
    under_way.append(arguments)
    time.sleep(0.2)
    try:
        return transact(*arguments)
    finally:
        under_way.pop()

def dying(email, *rest):
    if email.subject == "poison":
        time.sleep(0.1)
        with Path(os.environ["POISON_NOTES"]).open("a") as notes:
            notes.write(f"{len(under_way)}\\n")
        os.abort()
    return compose(email, *rest)

attempt.compose, Failover.transact = dying, slowly
main()
"""


def test_what_kills_its_worker_is_dead_lettered_and_its_neighbours_are_sent(
    vhost: VirtualHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = tmp_path / "notes"
    monkeypatch.setenv("POISON_NOTES", str(notes))
    vhost.declare_topology()
    for number in range(10):
        vhost.publish_raw(email(), message_id=f"m-{number}")
    vhost.publish_raw(email(subject="poison"), message_id="poison")
    for number in range(10, 20):
        vhost.publish_raw(email(), message_id=f"m-{number}")

    deaths = doubts = 0
    with smtp_sink(tmp_path / "sink") as sink:
        while deaths <= POISON_AFTER_DEATHS:
            process = ConsumerProcess(vhost.url, sink.url, ("-c", DIES_OF_POISON))
            try:
                wait_until(
                    lambda: not process.is_alive or process.handled("poison"),  # noqa: B023 - called at once
                    30,
                    "its end",
                )
                if process.is_alive:
                    # Killed, it might take the ack with it: the dead letter would come once more.
                    assert process.terminate() == 0
                    break
            finally:
                process.kill()
                doubts += sum(line["outcome"] == "in_doubt" for line in process.events("handled"))
            deaths += 1
        assert deaths == POISON_AFTER_DEATHS
        beside = [int(line) for line in notes.read_text().split()]
        assert beside[ALONE_AFTER_DEATHS:] == [0] * (POISON_AFTER_DEATHS - ALONE_AFTER_DEATHS)
        (dead,) = vhost.dead_letters(1)
        assert dead.headers["x-hopmail-reason"] == "poison"
        with consuming(vhost.url, sink.url):
            wait_until(lambda: len(sink.message_ids()) == 20, 30, "the neighbours")
            wait_until(lambda: vhost.unsettled(QUEUE) == 0, what="an empty lane")
        # A worker that is aborted may have had a neighbour between dot and answer.
        assert sink.count() <= 20 + doubts

    assert vhost.queue_depth(DEAD_QUEUE) == 0


def test_a_process_that_stands_still_keeps_its_claim_and_nobody_else_sends(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    with smtp_server({"MAIL": silence()}) as server, consuming(vhost.url, server.url) as first:
        vhost.publish_raw(email(), message_id="m-1")
        wait_until(lambda: "MAIL FROM:<app@example.org>" in server.commands, what="MAIL")
        first.signal(signal.SIGSTOP)
        vhost.close_connections()
        with smtp_sink(tmp_path) as sink, consuming(vhost.url, sink.url) as second:
            wait_until(lambda: vhost.unsettled(QUEUE) == 1, what="the second delivery")
            vhost.publish_raw(email(), message_id="m-2")
            wait_until(lambda: second.handled("m-2"), what="another mail")
            assert second.handled("m-1") == []

            first.signal(signal.SIGKILL)
            wait_until(lambda: second.handled("m-1"), what="the mail of the dead")
            assert outcomes(second, "m-1") == ["accepted"]
            assert sink.count() == 2


def claimed(vhost: VirtualHost) -> int:
    """Return how many recipients are claimed on the ledger."""
    with closing(sqlite3.connect(state_folder(vhost.url) / "ledger.sqlite3")) as ledger:
        query = "SELECT count(*) FROM recipient WHERE state = ?"
        return int(ledger.execute(query, (State.CLAIMED,)).fetchone()[0])


def sent_by(sink: SmtpSink, server: SmtpServer) -> Counter[str]:
    """Return how often two relays together took each message id."""
    found = (MESSAGE_ID.search(mail.content) for mail in server.mails)
    return sink.message_ids() + Counter(match[1].decode() for match in found if match)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGCONT])
def test_a_process_that_stands_still_does_not_stop_the_lane_of_another(
    vhost: VirtualHost, tmp_path: Path, end: signal.Signals
) -> None:
    mine = {f"m-{number}" for number in range(8)}
    with (
        smtp_server({"MAIL": late(5.0, "250 2.1.0 Ok")}) as server,
        consuming(vhost.url, server.url, prefetch=8) as first,
    ):
        for message_id in mine:
            vhost.publish_raw(email(), message_id=message_id, headers={"traceparent": "00-1"})
        wait_until(lambda: claimed(vhost) == 8, what="the claims")
        first.signal(signal.SIGSTOP)
        server.script.clear()
        vhost.close_connections()
        with smtp_sink(tmp_path) as sink, consuming(vhost.url, sink.url, prefetch=8) as second:
            wait_until(lambda: vhost.unsettled(QUEUE) == 8, what="the prefetch to be full")
            vhost.publish_raw(email(), message_id="new")
            wait_until(lambda: second.handled("new"), 20, "the new mail")
            told = second.events("waits for another process")
            assert told
            assert {line["message_id"] for line in told} <= mine
            assert {line["traceparent"] for line in told} == {"00-1"}
            assert all(10 <= line["waited_seconds"] < 20 for line in told)
            assert sink.count() == 1

            first.signal(end)
            wait_until(lambda: len(sent_by(sink, server)) == 9, 40, "every mail")
            wait_until(lambda: claimed(vhost) == 0, what="the ends of the claims")
            wait_until(lambda: vhost.unsettled(QUEUE) == 0, what="an empty lane")
            assert set(sent_by(sink, server).values()) == {1}
