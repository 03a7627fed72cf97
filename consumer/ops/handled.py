"""The one log line of a handled delivery: what became of it, and nothing of what it says."""

import logging
from functools import lru_cache
from typing import Any, Final

from consumer.core.correlation import TRACEPARENT, matching
from consumer.core.delivery import Delivery
from consumer.core.disposition import Reason
from consumer.core.handled import Handled, Verdict
from consumer.core.outcome import Stage, Undecodable
from consumer.core.transaction import answering
from consumer.ops.facts import UNDECODABLE, Fact, facts, worst
from consumer.ops.lines import MEMBERS, encoded
from consumer.ops.mask import mask, mask_addresses, mask_echoes, mask_quotations
from publisher_lib.message import Email
from publisher_lib.message_id import MESSAGE_ID

log = logging.getLogger(__name__)

SHOWN_RECIPIENTS: Final = 3
LONGEST_APP_ID: Final = 64
FOR_A_PERSON: Final = frozenset(
    {
        Reason.INTERNAL_ERROR,
        Reason.IN_DOUBT,
        Reason.ATTEMPTS_EXHAUSTED,
        Reason.TOO_OLD,
        Reason.POISON,
    }
)
"""Dead letters with nothing wrong in the message: logged as errors, the others as warnings."""

WORDS: Final = ("disposition", "reason", "delay_seconds", "stage", "code", "enhanced")
"""What `_words` returns, by name."""

STAGES: Final = {stage: stage.name for stage in Stage}
"""An enumeration's own `name` takes five times as long to be read."""


def log_handled(handled: Handled) -> None:
    """Log a delivery, at the level of the worst that was decided for one of its recipients.

    INFO: accepted, not due yet, or held because the relay is in trouble (the breaker warns of
    that, once). WARNING: retried, or dead-lettered for what the message itself is. ERROR:
    dead-lettered though nothing is known to be wrong with it.
    """
    found = facts(handled)
    level = _level(found[0]) if len(found) == 1 else max(map(_level, found))
    if not log.isEnabledFor(level):
        return
    # As `log.log(…, extra=…)` would do it, for half the price of a line.
    record = log.makeRecord(log.name, level, "", 0, "handled", (), None)
    record.__dict__[MEMBERS] = _members(handled, found)
    log.handle(record)


def _level(fact: Fact) -> int:
    match fact.disposition:
        case "dead_letter":
            return logging.ERROR if fact.reason in FOR_A_PERSON else logging.WARNING
        case "retry" if fact.outcome != "not_due":
            return logging.WARNING
        case _:
            return logging.INFO


def _members(handled: Handled, found: tuple[Fact, ...]) -> str:
    delivery, verdicts, fact = handled.delivery, handled.verdicts, worst(found)
    recipients = [name for verdict in verdicts for name in verdict.recipients]
    of_many = _of_many(
        delivery.lane.value,
        handled.attempt,
        delivery.properties.app_id or "",
        answering(handled.transactions),
        len(recipients),
        delivery.redelivered,
        fact.outcome,
        *_words(fact),
    )
    of_this = {
        "message_id": matching(MESSAGE_ID, handled.message_id),
        "to": [mask(name) for name in recipients[:SHOWN_RECIPIENTS]],
        "text": _text(fact, delivery, recipients),
        "latency_seconds": _milliseconds(handled.latency_seconds),
        "duration_seconds": round(handled.duration_seconds, 3),
        "replayed": handled.replayed or None,
        "traceparent": matching(TRACEPARENT, handled.traceparent),
        "fields": _fields_at_fault(verdicts) if fact.outcome == UNDECODABLE else None,
        "verdicts": _by_verdict(found, handled, recipients) if len(found) > 1 else None,
    }
    return f"{encoded(_present(of_this))}, {of_many}"


@lru_cache(maxsize=512)
def _of_many(  # noqa: PLR0917 - what is told of one mail as of many others
    lane: str,
    attempt: int,
    app_id: str,
    relay: str | None,
    recipients: int,
    redelivered: bool,  # noqa: FBT001 - as above
    outcome: str,
    *words: Any,
) -> str:
    """Return the members that are alike in most lines, encoded once."""
    told = {
        "lane": lane,
        "attempt": attempt,
        "app_id": mask_addresses(app_id)[:LONGEST_APP_ID] or None,
        "relay": relay,
        "recipients": recipients,
        "redelivered": redelivered or None,
        "outcome": outcome,
    }
    return encoded(_present(told | dict(zip(WORDS, words, strict=True))))


def _words(fact: Fact) -> tuple[Any, ...]:
    reply = fact.reply
    return (
        fact.disposition,
        fact.reason and fact.reason.value,
        fact.delay_seconds,
        fact.stage and STAGES[fact.stage],
        reply and reply.code,
        (reply and reply.enhanced) or None,
    )


def _by_verdict(
    found: tuple[Fact, ...], handled: Handled, recipients: list[str]
) -> list[dict[str, Any]]:
    return [
        _present(
            {
                "outcome": fact.outcome,
                **dict(zip(WORDS, _words(fact), strict=True)),
                "text": _text(fact, handled.delivery, recipients),
                "recipients": len(verdict.recipients),
            }
        )
        for fact, verdict in zip(found, handled.verdicts, strict=True)
    ]


def _text(fact: Fact, delivery: Delivery, recipients: list[str]) -> str | None:
    """Return the relay's words, or ours, without what they repeat of the mail."""
    words = mask_quotations(fact.text, recipients)
    # What a relay says of a mail it took is its own, and there are too many to search for it.
    if fact.stage is not None and fact.disposition != "ack":
        words = mask_echoes(words, delivery.body, recipients)
    return words or None


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _fields_at_fault(verdicts: tuple[Verdict, ...]) -> list[str] | None:
    """Name the contract's fields that are wrong; a name the sender made up is part of the body."""
    found = {
        violation.pointer if violation.pointer[:1] != "/" else violation.pointer.split("/")[1]
        for verdict in verdicts
        if isinstance(verdict.outcome, Undecodable)
        for violation in verdict.outcome.violations
    }
    named = {name for name in found if name in Email.model_fields or name.startswith("properties.")}
    return sorted(named) or None


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
