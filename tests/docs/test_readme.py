"""README's tables say what the code does."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from consumer.core.contract import parse
from consumer.core.decide import RetryPolicy, decide
from consumer.core.disposition import Ack, DeadLetter, Disposition, Pause, Retry
from consumer.core.outcome import (
    Accepted,
    Barred,
    Breach,
    Conflict,
    Crashed,
    Defect,
    Duplicate,
    Expired,
    Forgotten,
    InDoubt,
    NotDue,
    Outcome,
    Poisonous,
    Refused,
    Reply,
    Stage,
    Unauthorized,
    Undecodable,
    Unreachable,
    Violation,
)
from consumer.settings import settings_table
from publisher_lib.message import Email
from publisher_lib.schema import EXAMPLE
from tests.support.broker import VirtualHost

README = (Path(__file__).parents[2] / "README.md").read_text()
DELAYS = (timedelta(seconds=30), timedelta(minutes=2))
POLICY = RetryPolicy(DELAYS, timedelta(days=1))
OLD = timedelta(days=2)
NEW = timedelta(seconds=1)

TRANSACTION = [stage for stage in Stage if not stage.is_before_mail]
BEFORE_DOT = [stage for stage in TRANSACTION if stage is not Stage.END_OF_DATA]
REFUSED_4YZ: list[Outcome] = [Refused(stage, Reply(451)) for stage in TRANSACTION]
LOST: list[Outcome] = [Unreachable(stage, "lost") for stage in BEFORE_DOT]


def verdicts(
    outcomes: list[Outcome], attempt: int = 1, age: timedelta = NEW, *, hold: bool = False
) -> set[Disposition]:
    return {decide(outcome, attempt, age, POLICY, hold_if_uncertain=hold) for outcome in outcomes}


ROWS: dict[str, set[Disposition]] = {
    "the relay answered the final dot with 2yz": verdicts([Accepted(Reply(250))]),
    "it is no email of the contract": verdicts([Undecodable(defect) for defect in Defect]),
    "`expires_at` has passed": verdicts([Expired(datetime.now(UTC))]),
    "`send_at` lies ahead": verdicts([NotDue(timedelta(seconds=40))]),
    "MAIL, RCPT, DATA or the final dot was refused with 5yz": verdicts(
        [Refused(stage, Reply(550)) for stage in TRANSACTION]
    ),
    "MAIL, RCPT, DATA or the final dot was refused with 4yz": verdicts(REFUSED_4YZ),
    "the connection ended after MAIL and before the final dot, with every relay": verdicts(LOST),
    "the connection ended after the final dot, before the answer": verdicts([InDoubt("lost")]),
    "the same, with `if_uncertain: hold` or `HOPMAIL_IF_UNCERTAIN=hold`": verdicts(
        [InDoubt("lost")], hold=True
    ),
    "no relay can be reached, or all refuse the session or the login": verdicts(
        [Unreachable(stage, "no") for stage in Stage if stage.is_before_mail]
    ),
    "the last delay of the ladder is used up": verdicts(
        [*REFUSED_4YZ, *LOST], attempt=len(DELAYS) + 1
    ),
    "it is older than `HOPMAIL_MAX_AGE`": verdicts([*REFUSED_4YZ, *LOST], age=OLD),
    "our own code failed on it": verdicts([Crashed("bug")]),
    "another copy of it was settled before, or a later one is under way": verdicts(
        [Duplicate("settled before")]
    ),
    "another message of the same login has its `message_id`": verdicts([Conflict()]),
    "five processes ended while they read or composed it": verdicts([Poisonous(5)]),
    "`HOPMAIL_SENDER_POLICY` is set, and it has no `user_id`": verdicts(
        [Unauthorized(Breach.UNAUTHENTICATED, Violation("properties.user_id", "is missing"))]
    ),
    "the policy does not let its login use this `email_from`": verdicts(
        [Unauthorized(Breach.SENDER_NOT_ALLOWED, Violation("/email_from", "must be another"))]
    ),
    "it is older than `HOPMAIL_LEDGER_RETENTION`": verdicts([Forgotten(OLD)]),
    "`HOPMAIL_ALLOWED_RECIPIENT_DOMAINS` (for staging) leaves the recipient out": verdicts(
        [Barred()]
    ),
}


def in_words(found: set[Disposition]) -> str:
    if all(isinstance(verdict, DeadLetter) for verdict in found):
        reasons = {verdict.reason.value for verdict in found if isinstance(verdict, DeadLetter)}
        if len(reasons) > 1:
            assert reasons == {defect.value for defect in Defect}
            return "dead letter `invalid`, or the defect's own reason"
        return f"dead letter `{reasons.pop()}`"
    (verdict,) = found
    match verdict:
        case Ack():
            return "acked"
        case Pause():
            return "kept, consuming pauses, no attempt spent"
        case Retry(attempt=1):
            return "back after a delay, no attempt spent"
        case _:
            assert verdict == Retry(DELAYS[0], 2)
            return "tried again after the next delay"


def table(heading: str) -> list[list[str]]:
    """Return the rows of the table under a heading, without its head."""
    section = re.split(rf"^##+ {re.escape(heading)}$", README, flags=re.MULTILINE)[1]
    section = re.split(r"^##", section, flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]


def test_the_failure_table_is_what_decide_decides() -> None:
    assert dict(table("What becomes of a message")) == {
        event: in_words(found) for event, found in ROWS.items()
    }


def code(language: str) -> list[str]:
    """Return README's code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def test_the_python_example_publishes_what_it_says(
    vhost: VirtualHost, capsys: pytest.CaptureFixture[str]
) -> None:
    vhost.declare_topology()
    (example,) = code("python")
    used = example.replace("amqp://webapp:secret@localhost/", vhost.app_url)
    assert used != example

    exec(compile(used, "README.md", "exec"), {})  # noqa: S102 - our own README

    (message,) = vhost.take_all("email.transactional.v1")
    assert capsys.readouterr().out == f"{message.properties.message_id}\n"
    assert parse(message.body) == Email.model_validate(EXAMPLE | {"expires_at": None})


def test_the_body_for_other_languages_is_an_email() -> None:
    (example,) = code("json")

    assert isinstance(parse(example.encode()), Email)


def test_the_settings_table_lists_every_setting() -> None:
    assert table("Settings") == [
        [f"`{name}`", f"`{default}`" if default else "", meaning]
        for name, default, meaning in settings_table()
    ]
