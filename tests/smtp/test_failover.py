"""Which relay gets a mail, and when the next one gets it instead."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from consumer.core.envelope import Composed, Envelope
from consumer.core.outcome import (
    Accepted,
    InDoubt,
    Refused,
    Reply,
    Stage,
    TransactionOutcome,
    Unreachable,
)
from consumer.core.relay_url import RelayURL
from consumer.core.transaction import Transaction
from consumer.smtp import failover as failover_module
from consumer.smtp.failover import Failover
from consumer.smtp.relay import Relay
from consumer.smtp.relays import Relays
from consumer.smtp.session import GivenBack
from tests.support.consumer_process import wait_until
from tests.support.smtp_script import Event, Rule, by_recipient, hang_up, late, reset, say, silence
from tests.support.smtp_server import SmtpServer, smtp_server
from tests.support.transacting import ANN, BOB, CONTENT, ENVELOPE, SENDER, yes

QUEUED = Accepted(Reply(250, "2.0.0", "queued"))
QUICK: dict[str, object] = {"timeout": 1, "data_timeout": 2}
NEVER = 3600.0
"""A pause after which no test's breaker probes any more."""


class Pair:
    """Two scripted relays, and a thread's way to them; the breakers close when told to."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self.stop = threading.Event()

    def serve(
        self,
        first: dict[str, Rule] | None = None,
        second: dict[str, Rule] | None = None,
        *,
        lacking: bool = False,
        **options: object,
    ) -> Failover:
        """Start both; `lacking`: neither size nor SMTPUTF8 of the first suffice."""
        extensions = ("PIPELINING",) if lacking else ("PIPELINING", "SMTPUTF8")
        limit = 1000 if lacking else None
        self.first = self._stack.enter_context(
            smtp_server(first, extensions=extensions, size_limit=limit)
        )
        self.second = self._stack.enter_context(smtp_server(second))
        urls = [
            RelayURL.parse(server.url_with("", "127.0.0.1", **(QUICK | options)))
            for server in (self.first, self.second)
        ]
        self.relays = Relays(urls, self._folder)
        self._stack.callback(self.relays.stop)
        for member in self.relays.members:
            member.breaker._pause = member.breaker._first = NEVER
        return self.transactor()

    def transactor(self) -> Failover:
        """Return the way of another thread."""
        made = self.relays.transactor(self.stop)
        self._stack.callback(made.close)
        return made

    @property
    def troubled(self) -> list[bool]:
        """Of each relay, whether it is taken to be in trouble."""
        return [trouble is not None for trouble in self.relays.troubles.values()]

    def mend(self, server: SmtpServer) -> None:
        """Have a relay's breaker probe now; the relay is well."""
        member = self.relays.members[(self.first, self.second).index(server)]
        member.breaker._close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(stack, tmp_path)


def send(
    transactor: Failover,
    envelope: Envelope = ENVELOPE,
    content: bytes = CONTENT,
    *,
    ahead: bool = False,
) -> dict[str, TransactionOutcome]:
    """Hand a mail over; with `ahead` the same comes next."""
    following = Composed(envelope, content) if ahead else None
    with transactor.turn() as has_turn:
        assert has_turn
        return dict(transactor.transact(envelope, content, yes, lambda: following))


def stage_of(outcome: TransactionOutcome) -> Stage:
    assert isinstance(outcome, Unreachable)
    return outcome.stage


def told(server: SmtpServer) -> list[str]:
    return [line for line in server.commands if line.startswith("MAIL")]


def test_while_the_first_is_well_the_second_is_left_alone(pair: Pair) -> None:
    transactor = pair.serve()

    for _ in range(5):
        assert send(transactor)[ANN] == QUEUED

    assert (len(pair.first.mails), pair.second.sessions) == (5, 0)
    assert pair.first.sessions == 1


@pytest.mark.parametrize("stage", ["CONNECT", "GREETING", "EHLO"])
@pytest.mark.parametrize("event", [hang_up("421 4.3.2 down"), hang_up(), silence()], ids=str)
def test_a_first_that_cannot_be_reached_is_passed_by(pair: Pair, stage: str, event: Event) -> None:
    transactor = pair.serve({stage: event})

    for _ in range(3):
        assert send(transactor)[ANN] == QUEUED

    assert pair.troubled == [True, False]
    assert not pair.relays.is_open
    assert (pair.first.mails, len(pair.second.mails)) == ([], 3)
    assert pair.first.sessions == 1, "asked again before a probe"


def test_the_first_is_used_again_at_once_when_it_is_back(pair: Pair) -> None:
    transactor = pair.serve()
    pair.first.stop()
    send(transactor)
    pair.first.start()
    send(transactor)
    assert (len(pair.first.mails), len(pair.second.mails)) == (0, 2)

    pair.mend(pair.first)
    send(transactor)

    assert (len(pair.first.mails), len(pair.second.mails)) == (1, 2)


def test_the_first_is_used_again_by_a_thread_that_is_never_idle(pair: Pair) -> None:
    transactor = pair.serve()
    pair.first.stop()
    for _ in range(3):
        send(transactor, ahead=True)
    pair.first.start()
    pair.mend(pair.first)

    send(transactor, ahead=True)
    send(transactor, ahead=True)

    assert (len(pair.first.mails), len(pair.second.mails)) == (1, 4)


def test_a_relay_that_was_told_ahead_and_is_in_trouble_now_is_passed_by(pair: Pair) -> None:
    transactor = pair.serve(sessions=1)
    for _ in range(3):
        send(transactor, ahead=True)
    pair.relays.members[0].breaker.open(Unreachable(Stage.CONNECT, "gone"))

    send(transactor, ahead=True)
    assert (len(pair.first.mails), len(pair.second.mails)) == (3, 1)

    pair.mend(pair.first)
    send(transactor)
    send(transactor)
    assert (len(pair.first.mails), len(pair.second.mails)) == (5, 1)


def test_where_none_can_be_reached_the_last_ones_trouble_is_the_callers(pair: Pair) -> None:
    transactor = pair.serve()
    pair.first.stop()
    pair.second.stop()

    answer = send(transactor)

    trouble = answer[ANN]
    assert isinstance(trouble, Unreachable)
    assert trouble.stage is Stage.CONNECT
    assert str(pair.second.port) in trouble.detail
    assert pair.troubled == [True, False]
    transactor.open(trouble)
    assert pair.troubled == [True, True]
    assert pair.relays.is_open
    with transactor.turn() as has_turn:
        assert not has_turn


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("event", [hang_up(), reset(), silence()], ids=str)
def test_a_mail_lost_before_the_dot_goes_to_the_next(pair: Pair, stage: str, event: Event) -> None:
    transactor = pair.serve({stage: event})

    answer = send(transactor)

    assert answer == {ANN: QUEUED, BOB: QUEUED}
    assert (pair.first.mails, len(pair.second.mails)) == ([], 1)
    assert pair.troubled == [False, False], "one mail's loss says nothing of the others"


def test_a_mail_lost_in_the_middle_of_its_content_goes_to_the_next(pair: Pair) -> None:
    transactor = pair.serve({"CONTENT": reset()}, data_timeout=120)

    answer = send(transactor, content=CONTENT + (b"x" * 76 + b"\r\n") * 100_000)

    assert answer == {ANN: QUEUED, BOB: QUEUED}
    assert (pair.first.dotted, len(pair.second.mails)) == ([], 1)


def test_a_mail_whose_time_is_over_goes_to_no_other_relay(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    transactor = pair.serve({"DATA": hang_up()})
    assert send(transactor)[ANN] == QUEUED
    monkeypatch.setattr(failover_module, "LONGEST_BEFORE_DOT_SECONDS", 0.0)

    answer = send(transactor)

    assert [stage_of(outcome) for outcome in answer.values()] == [Stage.DATA] * 2
    assert (len(told(pair.first)), len(pair.second.mails)) == (2, 1)


@pytest.mark.parametrize("event", [hang_up(), reset(), silence(), say("999 what")], ids=str)
def test_after_the_dot_no_other_relay_is_asked(pair: Pair, event: Event) -> None:
    transactor = pair.serve({"END_OF_DATA": event})

    answer = send(transactor)

    assert isinstance(answer[ANN], InDoubt)
    assert isinstance(answer[BOB], InDoubt)
    assert len(pair.first.dotted) == 1
    assert pair.second.sessions == 0


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "END_OF_DATA"])
@pytest.mark.parametrize("code", ["451", "550", "421"])
def test_a_reply_about_the_mail_is_an_answer(pair: Pair, stage: str, code: str) -> None:
    transactor = pair.serve({stage: hang_up(f"{code} no") if code == "421" else say(f"{code} no")})

    answer = send(transactor)

    assert answer[ANN] == answer[BOB] == Refused(Stage[stage], Reply(int(code), "", "no"))
    assert pair.second.sessions == 0
    assert pair.troubled == [False, False]


def test_only_the_recipients_without_an_answer_go_on(pair: Pair) -> None:
    gone = Reply(550, "5.1.1", "unknown")
    asked: list[tuple[str, ...]] = []

    def note(recipients: tuple[str, ...]) -> bool:
        asked.append(recipients)
        return True

    rule = by_recipient({ANN: say("550 5.1.1 unknown")})
    transactor = pair.serve({"RCPT": rule, "DATA": hang_up()})
    with transactor.turn():
        answer = transactor.transact(ENVELOPE, CONTENT, note)

    assert dict(answer) == {ANN: Refused(Stage.RCPT, gone), BOB: QUEUED}
    assert [mail.recipients for mail in pair.second.mails] == [(BOB,)]
    assert asked == [(BOB,)]


def test_a_loss_stands_where_the_next_relay_cannot_be_reached(pair: Pair) -> None:
    transactor = pair.serve({"DATA": hang_up()})
    pair.second.stop()

    answer = send(transactor)

    assert [stage_of(outcome) for outcome in answer.values()] == [Stage.DATA] * 2
    assert pair.troubled == [False, True]


def test_a_login_wanted_for_one_mail_is_left_to_the_caller_at_the_last_relay(pair: Pair) -> None:
    wanted = say("530 5.7.0 log in first")
    transactor = pair.serve({"MAIL": wanted}, {"MAIL": wanted})

    answer = send(transactor)

    assert [stage_of(outcome) for outcome in answer.values()] == [Stage.AUTH] * 2
    assert pair.troubled == [True, False]
    assert (len(told(pair.first)), len(told(pair.second))) == (1, 1)


JOSE = Envelope(SENDER, ("josé@example.org",))
LARGE = CONTENT + b"x" * 900 + b"\r\n" + b"y" * 100 + b"\r\n"


@pytest.mark.parametrize(("envelope", "content"), [(JOSE, CONTENT), (ENVELOPE, LARGE)])
def test_what_a_relay_lacks_the_next_one_may_have(
    pair: Pair, envelope: Envelope, content: bytes
) -> None:
    transactor = pair.serve(lacking=True)

    answer = send(transactor, envelope, content)

    assert set(answer.values()) == {QUEUED}
    assert told(pair.first) == []
    assert pair.troubled == [False, False]
    assert send(transactor)[ANN] == QUEUED
    assert len(pair.first.mails) == 1


@pytest.mark.parametrize(("envelope", "code"), [(JOSE, "5.6.7"), (ENVELOPE, "5.3.4")])
def test_what_every_relay_lacks_is_refused(pair: Pair, envelope: Envelope, code: str) -> None:
    transactor = pair.serve(lacking=True)
    pair.second.extensions, pair.second.size_limit = (), 1000

    answer = send(transactor, envelope, LARGE if code == "5.3.4" else CONTENT)

    (outcome,) = set(answer.values())
    assert isinstance(outcome, Refused)
    assert outcome.reply.enhanced == code
    assert outcome.reply.is_permanent


@pytest.mark.parametrize("is_known", [False, True], ids=["found now", "known already"])
def test_what_one_relay_lacks_is_not_refused_while_another_is_away(
    pair: Pair, is_known: bool
) -> None:
    transactor = pair.serve(lacking=True)
    pair.second.stop()
    if is_known:
        pair.relays.members[1].breaker.open(Unreachable(Stage.CONNECT, "gone"))

    answer = send(transactor, JOSE)

    (outcome,) = set(answer.values())
    assert isinstance(outcome, Unreachable)
    assert outcome.stage is Stage.MAIL
    assert pair.troubled == [False, True]


def test_no_dot_means_no_other_relay_either(pair: Pair) -> None:
    transactor = pair.serve()

    with transactor.turn(), pytest.raises(GivenBack):
        transactor.transact(ENVELOPE, CONTENT, lambda _recipients: False)

    assert pair.second.sessions == 0
    assert send(transactor)[ANN] == QUEUED


def test_a_thread_that_finds_no_session_free_goes_to_the_next_relay(pair: Pair) -> None:
    first = pair.serve(sessions=1)
    others = [pair.transactor() for _ in range(2)]

    with first.turn():
        assert send(others[0])[ANN] == QUEUED
        assert len(pair.second.mails) == 1
        with others[0].turn(), others[1].turn() as has_turn:
            assert not has_turn, "both are at their limit"
        first.transact(ENVELOPE, CONTENT, yes)

    assert send(others[1])[ANN] == QUEUED
    assert len(pair.first.mails) == 2
    assert (pair.first.sessions, pair.second.sessions) == (1, 1)


def test_a_session_given_back_is_taken_by_the_thread_that_waits(pair: Pair) -> None:
    first, second = pair.serve(sessions=1), pair.transactor()
    pair.relays.members[1].breaker.open(Unreachable(Stage.CONNECT, "gone"))
    answers: list[bool] = []

    def take() -> None:
        with second.turn() as has_turn:
            answers.append(has_turn)

    with first.turn():
        waiting = threading.Thread(target=take)
        waiting.start()
    waiting.join(10)

    assert answers == [True]


def test_a_relay_at_its_rate_has_the_mail_wait(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failover_module, "TURN_SECONDS", 0.3)
    transactor = pair.serve(rate=0.01)

    assert send(transactor)[ANN] == QUEUED
    with transactor.turn() as has_turn:
        assert not has_turn

    assert (len(pair.first.mails), pair.second.sessions) == (1, 0)


def test_a_turn_without_a_mail_costs_no_token(pair: Pair) -> None:
    transactor = pair.serve(rate=0.01)

    for _ in range(3):
        with transactor.turn() as has_turn:
            assert has_turn

    assert send(transactor)[ANN] == QUEUED


def test_a_relay_that_cannot_be_reached_costs_no_token(pair: Pair) -> None:
    transactor = pair.serve(rate=0.01)
    pair.first.stop()
    send(transactor)
    pair.first.start()

    pair.mend(pair.first)

    assert send(transactor)[ANN] == QUEUED
    assert len(pair.first.mails) == 1


def test_a_wait_ends_at_once_when_it_is_to_stop(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failover_module, "TURN_SECONDS", NEVER)
    monkeypatch.setattr(failover_module, "LOOK_SECONDS", NEVER)
    transactor = pair.serve(rate=0.01)
    send(transactor)
    answers: list[bool] = []

    def wait() -> None:
        with transactor.turn() as has_turn:
            answers.append(has_turn)

    waiting = threading.Thread(target=wait)
    waiting.start()
    pair.stop.set()
    waiting.join(10)

    assert answers == [False]
    assert pair.first.open_sessions <= 1


def test_without_a_turn_nothing_is_said_about_any_relay(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failover_module, "TURN_SECONDS", 0.01)
    transactor, other = pair.serve(sessions=1), pair.transactor()

    with transactor.turn(), other.turn():
        answer = dict(pair.transactor().transact(ENVELOPE, CONTENT, yes))

    trouble = answer[ANN]
    assert isinstance(trouble, Unreachable)
    assert trouble.stage.is_before_mail
    other.open(trouble)
    assert pair.troubled == [False, False]


def test_a_relay_in_trouble_keeps_no_session_of_ours(pair: Pair) -> None:
    first, second = pair.serve(), pair.transactor()
    with first.turn(), second.turn():
        first.transact(ENVELOPE, CONTENT, yes)
        second.transact(ENVELOPE, CONTENT, yes)
    assert pair.first.open_sessions == 2
    pair.first.script["MAIL"] = say("530 5.7.0 log in first")

    send(first)

    wait_until(lambda: pair.first.open_sessions == 0)
    assert pair.troubled == [True, False]


def test_a_busy_thread_leaves_sessions_that_nobody_needs(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failover_module, "TIDY_SECONDS", 0)
    transactor = pair.serve()
    pair.relays.members[0].breaker.open(Unreachable(Stage.CONNECT, "gone"))
    send(transactor)
    second = pair.relays.members[1].relay
    assert isinstance(second, Relay)
    object.__setattr__(second.limits, "idle_seconds", 0)
    pair.mend(pair.first)

    send(transactor)

    wait_until(lambda: pair.second.open_sessions == 0)
    assert pair.first.open_sessions == 1


def test_what_was_passed_on_is_logged(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="consumer")
    transactor = pair.serve({"DATA": [hang_up()], "GREETING": [None, hang_up()]})
    send(transactor)
    send(transactor)

    first, second = pair.relays.troubles
    assert [
        (record.getMessage(), vars(record)["relay"], vars(record).get("next"))
        for record in caplog.records
    ] == [
        ("passed on", first, second),
        ("relay in trouble", first, None),
        ("passed on", first, second),
    ]


def test_each_relay_that_was_asked_is_told_of_with_its_outcome_and_time(pair: Pair) -> None:
    transactor = pair.serve({"CONNECT": hang_up()}, {"END_OF_DATA": late(0.2, "250 ok")})
    told: list[Transaction] = []

    with transactor.turn():
        transactor.transact(ENVELOPE, CONTENT, yes, None, told.append)

    down, taken = told
    assert (down.relay, down.word, down.seconds) == (place(pair.first), "unreachable", None)
    assert (taken.relay, taken.word) == (place(pair.second), "accepted")
    assert taken.seconds is not None
    assert 0.2 <= taken.seconds < 10


def test_a_mail_lost_on_the_way_was_a_transaction_of_both(pair: Pair) -> None:
    transactor = pair.serve({"DATA": hang_up()})
    told: list[Transaction] = []

    with transactor.turn():
        transactor.transact(ENVELOPE, CONTENT, yes, None, told.append)

    assert [each.word for each in told] == ["unreachable", "accepted"]
    assert all(each.seconds is not None for each in told)


def test_a_relay_that_went_away_has_not_the_time_of_the_mail_before(pair: Pair) -> None:
    transactor = pair.serve()
    send(transactor)
    pair.first.stop()
    told: list[Transaction] = []

    with transactor.turn():
        transactor.transact(ENVELOPE, CONTENT, yes, None, told.append)

    assert [(each.word, each.seconds is None) for each in told] == [
        ("unreachable", True),
        ("accepted", False),
    ]


def test_who_was_not_asked_is_not_told_of(pair: Pair) -> None:
    transactor = pair.serve(lacking=True)
    told: list[Transaction] = []

    with transactor.turn():
        transactor.transact(ENVELOPE, CONTENT * 100, yes, None, told.append)

    assert [each.relay for each in told] == [place(pair.second)]


def test_looking_for_sessions_to_leave_makes_nobody_open_another(pair: Pair) -> None:
    threads = [pair.serve(), pair.transactor()]
    most, end = 0, time.monotonic() + 3.0

    def send_often(transactor: Failover) -> None:
        while time.monotonic() < end:
            send(transactor)

    sending = [threading.Thread(target=send_often, args=(each,)) for each in threads]
    for thread in sending:
        thread.start()
    while time.monotonic() < end:
        pair.relays.members[0].pool.close_idle()
        most = max(most, pair.first.open_sessions)
    for thread in sending:
        thread.join()

    assert most <= len(threads)


def test_sessions_count_while_they_are_open_lent_or_not(pair: Pair) -> None:
    first, second = pair.serve(), pair.transactor()
    with first.turn(), second.turn():
        first.transact(ENVELOPE, CONTENT, yes)
        second.transact(ENVELOPE, CONTENT, yes)
    both = pair.relays.sessions_open
    with first.turn():
        lent = pair.relays.sessions_open
    pair.first.script["MAIL"] = hang_up("421 4.3.2 closing")
    send(first)
    lost = pair.relays.sessions_open
    first.close()

    names = place(pair.first), place(pair.second)
    assert both == lent == dict(zip(names, (2, 0), strict=True))
    assert lost == dict(zip(names, (1, 0), strict=True)), "the relay closed that of the last mail"
    assert pair.relays.sessions_open == dict.fromkeys(names, 0)


def place(server: SmtpServer) -> str:
    return f"127.0.0.1:{server.port}"
