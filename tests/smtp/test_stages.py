"""Every stage by everything that can happen there: the outcome, and what `decide` makes of it."""

from datetime import timedelta

import pytest

from consumer.core.decide import RetryPolicy, decide
from consumer.core.disposition import Ack, DeadLetter, Disposition, Pause, Retry
from consumer.core.outcome import (
    Accepted,
    InDoubt,
    Refused,
    Stage,
    TransactionOutcome,
    Unreachable,
)
from tests.support.certificates import Authority
from tests.support.smtp_script import Event, Rule, endless, garbage, hang_up, reset, say, silence
from tests.support.smtp_server import smtp_server
from tests.support.transacting import ANN, BOB, transact

POLICY = RetryPolicy((timedelta(seconds=30),), timedelta(days=1))

LATER, NEVER, GOING = say("451 4.3.2 later"), say("550 5.7.1 never"), hang_up("421 4.3.2 bye")
BROKEN = {
    "silence": silence(),
    "garbage": garbage(),
    "close": hang_up(),
    "reset": reset(),
    "endless": endless(),
    "1yz": say("150 patience"),
    "3yz": say("399 what"),
}

Expected = tuple[type[TransactionOutcome], Stage | None, type[Disposition]]

TABLE: list[tuple[str, str, Event, Expected]] = [
    *(
        ("CONNECT", name, event, (Unreachable, Stage.GREETING, Pause))
        for name, event in BROKEN.items()
        if name in {"silence", "close", "reset"}
    ),
    *(
        (stage.name, name, event, (Unreachable, stage, Pause))
        for stage in (Stage.GREETING, Stage.EHLO, Stage.STARTTLS, Stage.AUTH)
        for name, event in {"4yz": LATER, "5yz": NEVER, "421": GOING, **BROKEN}.items()
        if (stage, name) != (Stage.EHLO, "5yz")
    ),
    ("GREETING", "2yz", say("250 not a greeting"), (Unreachable, Stage.GREETING, Pause)),
    ("STARTTLS", "2yz", say("250 what?"), (Unreachable, Stage.STARTTLS, Pause)),
    ("AUTH", "2yz", say("250 what?"), (Unreachable, Stage.AUTH, Pause)),
    ("AUTH", "535", say("535 5.7.8 wrong"), (Unreachable, Stage.AUTH, Pause)),
    ("AUTH", "503", say("503 5.5.1 not enabled"), (Unreachable, Stage.AUTH, Pause)),
    *(
        (stage.name, name, event, expected)
        for stage in (Stage.MAIL, Stage.RCPT, Stage.DATA)
        for name, event, expected in (
            ("4yz", LATER, (Refused, stage, Retry)),
            ("5yz", NEVER, (Refused, stage, DeadLetter)),
            ("421", GOING, (Refused, stage, Retry)),
            *((name, event, (Unreachable, stage, Retry)) for name, event in BROKEN.items()),
        )
    ),
    ("MAIL", "2yz", say("250 2.1.0 fine"), (Accepted, None, Ack)),
    ("MAIL", "530", say("530 5.7.0 log in"), (Unreachable, Stage.AUTH, Pause)),
    ("RCPT", "2yz", say("251 2.1.5 will forward"), (Accepted, None, Ack)),
    ("RCPT", "552", say("552 too many recipients"), (Refused, Stage.RCPT, Retry)),
    ("RCPT", "530", say("530 5.7.0 log in"), (Unreachable, Stage.RCPT, Retry)),
    ("DATA", "2yz", say("250 what?"), (Unreachable, Stage.DATA, Retry)),
    ("END_OF_DATA", "2yz", say("250-2.0.0 as", "250 2.0.0 Q1"), (Accepted, None, Ack)),
    ("END_OF_DATA", "4yz", LATER, (Refused, Stage.END_OF_DATA, Retry)),
    ("END_OF_DATA", "5yz", NEVER, (Refused, Stage.END_OF_DATA, DeadLetter)),
    ("END_OF_DATA", "552", say("552 5.3.4 big"), (Refused, Stage.END_OF_DATA, DeadLetter)),
    ("END_OF_DATA", "421", GOING, (Refused, Stage.END_OF_DATA, Retry)),
    *(("END_OF_DATA", name, event, (InDoubt, None, Retry)) for name, event in BROKEN.items()),
]


@pytest.mark.parametrize("extensions", [("PIPELINING",), ()], ids=["pipelined", "one by one"])
@pytest.mark.parametrize(
    ("stage", "event", "expected"),
    [pytest.param(stage, *rest, id=f"{stage}-{name}") for stage, name, *rest in TABLE],
)
def test_what_happens_at_a_stage_has_its_outcome_and_disposition(
    ca: Authority, stage: str, event: Event, expected: Expected, extensions: tuple[str, ...]
) -> None:
    timeout = {"timeout": 0.6, "data_timeout": 0.6} if event == silence() else {"timeout": 10}
    rules: dict[str, Rule] = {stage: event}

    with smtp_server(
        rules,
        starttls=ca.context(),
        cafile=ca.cafile,
        users={"app": "secret"},
        extensions=extensions,
    ) as server:
        answer = transact(server.url_with("app:secret", **timeout))

    assert list(answer) == [ANN, BOB]
    assert answer[ANN] == answer[BOB]
    outcome = answer[ANN]
    disposition = decide(outcome, 1, timedelta(), POLICY)
    assert (type(outcome), getattr(outcome, "stage", None), type(disposition)) == expected
    assert len(server.mails) == (1 if expected[0] is Accepted else 0)
    assert (len(server.dotted) == 1) == (stage == "END_OF_DATA" or expected[0] is Accepted)


def test_a_relay_that_refuses_ehlo_is_greeted_with_helo() -> None:
    with smtp_server({"EHLO": say("502 5.5.1 what?")}) as server:
        answer = transact(server.url)

    assert isinstance(answer[ANN], Accepted)
    assert [command.split()[0] for command in server.commands[:2]] == ["EHLO", "HELO"]


def test_a_relay_that_refuses_helo_too_is_in_trouble() -> None:
    with smtp_server({"EHLO": NEVER, "HELO": NEVER}) as server:
        answer = transact(server.url)

    outcome = answer[ANN]
    assert isinstance(outcome, Unreachable)
    assert outcome.stage is Stage.EHLO


def test_nobody_at_the_port_is_trouble_of_the_relays() -> None:
    with smtp_server() as server:
        server.stop()
        answer = transact(server.url)

    assert answer[ANN] == Unreachable(Stage.CONNECT, f"127.0.0.1:{server.port}: Connection refused")
