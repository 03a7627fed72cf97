"""`hopmail classify`: what would become of a mail, by what a relay says."""

import json
import sys
from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from consumer.cli.start import settings_or_exit
from consumer.core.decide import RetryPolicy, decide
from consumer.core.disposition import Ack, DeadLetter, Disposition, Pause, Retry
from consumer.core.durations import format_duration, parse_duration
from consumer.core.outcome import Stage, TransactionOutcome
from consumer.core.transaction import TRANSACTION_OUTCOMES
from consumer.core.verdict_words import opens_breaker, why
from consumer.settings import Settings
from consumer.smtp.classify import goes_on_because, outcome_of_reply, read_reply, unless
from consumer.smtp.conversation import LONGEST_REPLY_BYTES

UNNEEDED: Final = ("HOPMAIL_AMQP_URL", "HOPMAIL_SMTP_URL")


class At(StrEnum):
    """A stage, as one types it."""

    CONNECT = "connect"
    GREETING = "greeting"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    END_OF_DATA = "end-of-data"


def classify(
    reply: Annotated[
        str, typer.Argument(help='As the relay says it: "550 5.1.1 User unknown"; -: from stdin.')
    ],
    *,
    stage: Annotated[
        At,
        typer.Option(
            metavar="STAGE", help=f"What it answers: {', '.join(At)}.", case_sensitive=False
        ),
    ] = At.RCPT,
    attempt: Annotated[int, typer.Option(min=1, help="Which attempt that is, from 1.")] = 1,
    age: Annotated[
        str, typer.Option(metavar="DURATION", help="How long ago it was published: 30s, 2h.")
    ] = "0s",
    as_json: Annotated[bool, typer.Option("--json", help="For scripts: one JSON object.")] = False,
) -> None:
    """Say what becomes of a mail when a relay says this.

    The consumer's own judgement, by HOPMAIL_RETRY_DELAYS, HOPMAIL_MAX_AGE and
    HOPMAIL_IF_UNCERTAIN. Nothing is sent.
    """
    try:
        code, text = read_reply(_stdin() if reply == "-" else reply)
        old = timedelta() if age == "0s" else parse_duration(age)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    settings = settings_or_exit(UNNEEDED)
    outcome = outcome_of_reply(Stage[stage.name], code, text)
    if outcome is None:
        found = _goes_on(goes_on_because(Stage[stage.name], code) or "the relay takes this step")
    else:
        but = unless(Stage[stage.name], code, text) or None
        found = _told(settings, outcome, attempt, old) | {"unless": but}
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        _show(found)


def _stdin() -> str:
    return sys.stdin.buffer.read(LONGEST_REPLY_BYTES).decode(errors="surrogateescape")


def _goes_on(because: str) -> dict[str, Any]:
    nothing = f"{because}, and the conversation goes on: nothing is decided yet"
    return {"outcome": None, "disposition": None, "opens_breaker": False, "why": nothing}


def _told(
    settings: Settings, outcome: TransactionOutcome, attempt: int, age: timedelta
) -> dict[str, Any]:
    verdict = decide(
        outcome,
        attempt,
        age,
        RetryPolicy(settings.retry_delays, settings.max_age),
        hold_if_uncertain=settings.if_uncertain == "hold",
    )
    return {
        "outcome": TRANSACTION_OUTCOMES[type(outcome)],
        **_of(verdict),
        "opens_breaker": opens_breaker(verdict),
        "why": why(outcome, verdict),
    }


def _of(verdict: Disposition) -> dict[str, Any]:
    match verdict:
        case Ack():
            return {"disposition": "ack"}
        case Pause():
            return {"disposition": "pause"}
        case DeadLetter(reason=reason):
            return {"disposition": "dead_letter", "reason": str(reason)}
        case Retry(delay=delay, attempt=attempt):
            seconds = int(delay.total_seconds())
            return {"disposition": "retry", "attempt": attempt, "delay_seconds": seconds}


def _show(found: dict[str, Any]) -> None:
    for name, value in _lines(found):
        typer.echo(f"{name:<13}{value}")


def _lines(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if found["outcome"]:
        yield "outcome", found["outcome"]
        yield "disposition", found["disposition"]
    if "delay_seconds" in found:
        delay = format_duration(timedelta(seconds=found["delay_seconds"]))
        yield "delay", f"{delay}, then attempt {found['attempt']}"
    if "reason" in found:
        yield "reason", found["reason"]
    if found["outcome"]:
        yield "breaker", "opens" if found["opens_breaker"] else "stays as it is"
    yield "why", found["why"]
    if found.get("unless"):
        yield "unless", found["unless"]
