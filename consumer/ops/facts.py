"""A verdict in the flat words of log lines and metric labels. All but `text` are closed sets."""

from typing import Final, assert_never

from consumer.core.disposition import Ack, DeadLetter, Disposition, Pause, Reason, Retry
from consumer.core.handled import Handled, Verdict
from consumer.core.outcome import (
    Accepted,
    Barred,
    Conflict,
    Crashed,
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
)
from consumer.core.record import record

UNDECODABLE: Final = "undecodable"

DISPOSITIONS: Final = ("ack", "pause", "retry", "dead_letter")
"""From the least to the most that is amiss."""

OUTCOMES: Final = (
    "accepted",
    "refused",
    "unreachable",
    "in_doubt",
    "not_due",
    "expired",
    UNDECODABLE,
    "crashed",
    "duplicate",
    "conflict",
    "forgotten",
    "poisonous",
    "barred",
    "unauthorized",
)

PLAIN: Final[dict[type[Outcome], str]] = {
    Undecodable: UNDECODABLE,
    NotDue: "not_due",
    Expired: "expired",
    Conflict: "conflict",
    Forgotten: "forgotten",
    Poisonous: "poisonous",
    Barred: "barred",
    Unauthorized: "unauthorized",
}
"""What needs no further word."""


@record
class Fact:
    """One verdict. `text` is the relay's words, or ours: it may hold addresses."""

    outcome: str
    disposition: str
    reason: Reason | None = None
    delay_seconds: float | None = None
    stage: Stage | None = None
    reply: Reply | None = None
    text: str = ""

    @property
    def severity(self) -> int:
        """How much is amiss, from 0."""
        return DISPOSITIONS.index(self.disposition)


def facts(handled: Handled) -> tuple[Fact, ...]:
    """Return what is to be told of each verdict, in their order."""
    return tuple(_fact(verdict) for verdict in handled.verdicts)


def worst(found: tuple[Fact, ...]) -> Fact:
    """Return the fact that a delivery counts under, where its recipients fared differently."""
    return found[0] if len(found) == 1 else max(found, key=lambda fact: fact.severity)


def _fact(verdict: Verdict) -> Fact:
    disposition, reason, delay_seconds = _words(verdict.disposition)
    outcome, stage, reply, text = _happened(verdict.outcome)
    return Fact(outcome, disposition, reason, delay_seconds, stage, reply, text)


def _words(disposition: Disposition) -> tuple[str, Reason | None, float | None]:
    match disposition:
        case Ack():
            return "ack", None, None
        case Pause():
            return "pause", None, None
        case Retry(delay=delay):
            return "retry", None, delay.total_seconds()
        case DeadLetter(reason=reason):
            return "dead_letter", reason, None
        case _:
            assert_never(disposition)


def _happened(  # noqa: C901 - one case per outcome
    outcome: Outcome,
) -> tuple[str, Stage | None, Reply | None, str]:
    match outcome:
        case Accepted(reply=reply):
            return "accepted", Stage.END_OF_DATA, reply, reply.text
        case Refused(stage=stage, reply=reply):
            return "refused", stage, reply, reply.text
        case Unreachable(stage=stage, detail=detail, reply=reply):
            return "unreachable", stage, reply, detail
        case InDoubt(detail=detail):
            return "in_doubt", Stage.END_OF_DATA, None, detail
        case Crashed(detail=detail):
            return "crashed", None, None, detail
        case Duplicate(detail=detail):
            return "duplicate", None, None, detail
        case Unauthorized(violation=violation):
            return PLAIN[type(outcome)], None, None, violation.message
        case (
            Undecodable() | NotDue() | Expired() | Conflict() | Forgotten() | Poisonous() | Barred()
        ):
            return PLAIN[type(outcome)], None, None, ""
        case _:
            assert_never(outcome)
