"""The one log line of a handled delivery: what became of it, and nothing of what it says."""

import logging
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from consumer.core.correlation import TRACEPARENT, matching
from consumer.core.disposition import Reason
from consumer.core.handled import Handled, Verdict
from consumer.core.outcome import Undecodable
from consumer.ops.facts import UNDECODABLE, Fact, facts, worst
from consumer.ops.mask import mask, mask_addresses, mask_quotations
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


def log_handled(handled: Handled) -> None:
    """Log a delivery, at the level of the worst that was decided for one of its recipients.

    INFO: accepted, not due yet, or held because the relay is in trouble (the breaker warns of
    that, once). WARNING: retried, or dead-lettered for what the message itself is. ERROR:
    dead-lettered though nothing is known to be wrong with it.
    """
    found = facts(handled)
    level = max(_level(fact) for fact in found)
    if not log.isEnabledFor(level):
        return
    log.log(level, "handled", extra=_fields(handled, found))


def _level(fact: Fact) -> int:
    match fact.disposition:
        case "dead_letter":
            return logging.ERROR if fact.reason in FOR_A_PERSON else logging.WARNING
        case "retry" if fact.outcome != "not_due":
            return logging.WARNING
        case _:
            return logging.INFO


def _fields(handled: Handled, found: tuple[Fact, ...]) -> dict[str, Any]:
    delivery, fact = handled.delivery, worst(found)
    recipients = [name for verdict in handled.verdicts for name in verdict.recipients]
    told: dict[str, Any] = {
        "message_id": matching(MESSAGE_ID, handled.message_id),
        "lane": str(delivery.lane),
        "attempt": handled.attempt,
        "app_id": _app_id(delivery.properties.app_id or ""),
        **_told(fact, recipients),
        "fields": _fields_at_fault(handled.verdicts) if fact.outcome == UNDECODABLE else None,
        "recipients": len(recipients),
        "to": [mask(name) for name in recipients[:SHOWN_RECIPIENTS]],
        "latency_seconds": _milliseconds(handled.latency_seconds),
        "duration_seconds": _milliseconds(handled.duration_seconds),
        "redelivered": delivery.redelivered or None,
        "traceparent": matching(TRACEPARENT, handled.traceparent),
    }
    if len(found) > 1:
        told["verdicts"] = [
            _present(_told(fact, recipients)) | {"recipients": len(verdict.recipients)}
            for fact, verdict in zip(found, handled.verdicts, strict=True)
        ]
    return _present(told)


@lru_cache
def _app_id(given: str) -> str | None:
    return mask_addresses(given)[:LONGEST_APP_ID] or None


def _told(fact: Fact, recipients: Iterable[str]) -> dict[str, Any]:
    return {
        "disposition": fact.disposition,
        "outcome": fact.outcome,
        "reason": fact.reason and fact.reason.value,
        "delay_seconds": fact.delay_seconds,
        "stage": fact.stage and fact.stage.name,
        "code": fact.reply and fact.reply.code,
        "enhanced": (fact.reply and fact.reply.enhanced) or None,
        "text": mask_quotations(fact.text, recipients) or None,
    }


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
