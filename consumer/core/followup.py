"""The messages that must be on the broker before a delivery may be acked."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, assert_never

from consumer.core.delivery import Delivery
from consumer.core.disposition import DeadLetter, Reason, Retry
from consumer.core.handled import Followup, Verdict
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
from consumer.core.topology import DEAD_KEY, retry_key
from consumer.core.trail import MOST, Trail, trail_headers
from publisher_lib.routing import (
    DEAD_EXCHANGE,
    EXCHANGE,
    PUBLISHED_AT_MS,
    RETRY_EXCHANGE,
    TRACE_HEADERS,
)

REASON: Final = "x-hopmail-reason"
DETAIL: Final = "x-hopmail-detail"
LANE: Final = "x-hopmail-lane"
LAST_ATTEMPT_MS: Final = "x-hopmail-last-attempt-ms"

REASONS: Final = frozenset(reason.value for reason in Reason)

KEPT_HEADERS: Final = (PUBLISHED_AT_MS, *TRACE_HEADERS)
"""An allow-list: a copied `x-death` makes brokers before 4.0.1 drop the message as a cycle."""

MAX_KEPT_CHARACTERS: Final = 512
"""Per kept header. With 100 recipients the table stays below 64 KiB; a frame breaks at 131 064."""

MAX_KEPT_BITS: Final = 63
"""Beyond its sign: AMQP's longest integer. A double arrives as an integer of up to 1024 bits."""

MAX_DETAIL_BYTES: Final = 16_384

Cause = tuple[Reason, Stage | None, Reply | None]
"""The reply without its text, in which relays quote the recipient."""


def followups(
    delivery: Delivery, trail: Trail, verdicts: Iterable[Verdict], now: datetime
) -> tuple[Followup, ...]:
    """Return the retry copies and dead letters that `verdicts` ask for.

    Recipients that wait equally long share one retry copy, and those given up for the same cause
    one dead letter, with the first one's detail: each copy holds the whole body.
    """
    waiting: dict[Retry, list[str]] = {}
    dead: dict[Cause, list[Verdict]] = {}
    for verdict in verdicts:
        match verdict.disposition:
            case Retry() as retry:
                waiting.setdefault(retry, []).extend(verdict.recipients)
            case DeadLetter(reason=reason):
                dead.setdefault(_cause(reason, verdict.outcome), []).append(verdict)
            case _:
                pass
    return (
        *(_dead_letter(delivery, trail, cause[0], alike, now) for cause, alike in dead.items()),
        *(_retry(delivery, trail, *item) for item in waiting.items()),
    )


def back_to_lane(delivery: Delivery, trail: Trail) -> Followup:
    """Return the copy that gives a delivery back to its lane without spending an attempt."""
    return Followup(EXCHANGE, delivery.lane, {**_kept(delivery), **trail_headers(trail)})


def aside(delivery: Delivery, trail: Trail, delay: timedelta) -> Followup:
    """Return the copy that comes back to its lane after `delay`, no attempt spent."""
    headers = {**_kept(delivery), **trail_headers(trail)}
    return Followup(RETRY_EXCHANGE, retry_key(delivery.lane, delay), headers)


def sent_again(delivery: Delivery, trail: Trail, now: datetime) -> Followup:
    """Return the copy that has a dead letter sent again, from its first attempt on."""
    headers = {**_kept(delivery), **trail_headers(sent_again_as(delivery, trail, now))}
    return Followup(EXCHANGE, delivery.lane, headers)


def sent_again_as(delivery: Delivery, trail: Trail, now: datetime) -> Trail:
    """Return the trail of the copy that has a dead letter with this one sent again.

    However often it is asked for one dead letter, the copies are of one generation: the ledger has
    one of them sent.
    """
    # Ours carries the next epoch already; one that RabbitMQ moved has that of its last delivery.
    epoch = trail.epoch if is_ours(delivery) else trail.epoch + 1
    return replace(
        trail, attempt=1, epoch=epoch, replayed=min(trail.replayed + 1, MOST), replayed_at=now
    )


def is_ours(delivery: Delivery) -> bool:
    """Return whether it was dead-lettered by a consumer, not by RabbitMQ itself."""
    return str(delivery.properties.headers.get(REASON)) in REASONS


def _retry(delivery: Delivery, trail: Trail, retry: Retry, recipients: list[str]) -> Followup:
    onward = replace(trail, attempt=retry.attempt, pending=tuple(recipients) or trail.pending)
    return Followup(
        RETRY_EXCHANGE,
        retry_key(delivery.lane, retry.delay),
        {**_kept(delivery), **trail_headers(onward)},
    )


def _cause(reason: Reason, outcome: Outcome) -> Cause:
    match outcome:
        case Refused(stage=stage, reply=reply) | Unreachable(stage=stage, reply=reply):
            return reason, stage, reply and replace(reply, text="")
        case _:
            return reason, None, None


def _dead_letter(
    delivery: Delivery, trail: Trail, reason: Reason, alike: list[Verdict], now: datetime
) -> Followup:
    recipients = tuple(name for verdict in alike for name in verdict.recipients)
    # Whoever puts it back into its lane, by whatever tool, wants it sent: the next epoch.
    onward = replace(trail, pending=recipients or trail.pending, epoch=trail.epoch + 1)
    headers = {
        **_kept(delivery),
        **trail_headers(onward),
        REASON: reason.value,
        DETAIL: _detail_json(alike[0].outcome),
        LANE: str(delivery.lane),
        LAST_ATTEMPT_MS: int(now.timestamp() * 1000),
    }
    return Followup(DEAD_EXCHANGE, DEAD_KEY, headers)


def _kept(delivery: Delivery) -> dict[str, Any]:
    headers = delivery.properties.headers
    return {name: headers[name] for name in KEPT_HEADERS if is_worth_keeping(headers.get(name))}


def is_worth_keeping(value: object) -> bool:
    """Return whether a kept header is one that an honest app may have set, and can be written."""
    if isinstance(value, int):
        return value.bit_length() <= MAX_KEPT_BITS
    return isinstance(value, str) and len(value) <= MAX_KEPT_CHARACTERS


def _detail_json(outcome: Outcome) -> str:
    detail = detail_of(outcome)
    text = json.dumps(detail, ensure_ascii=True)
    while len(text) > MAX_DETAIL_BYTES and detail.get("violations"):
        detail["violations"].pop()
        text = json.dumps(detail, ensure_ascii=True)
    return text


def detail_of(outcome: Outcome) -> dict[str, Any]:  # noqa: C901, PLR0912 - one case per outcome
    """Return what a person needs to know of an outcome, ready for JSON."""
    match outcome:
        case Undecodable(violations=violations):
            return {
                "violations": [{"pointer": v.pointer, "message": v.message} for v in violations]
            }
        case Unauthorized(violation=violation):
            return {"violations": [{"pointer": violation.pointer, "message": violation.message}]}
        case Refused(stage=stage, reply=reply):
            return {
                "stage": stage.name,
                "code": reply.code,
                "enhanced": reply.enhanced,
                "text": reply.text,
            }
        case Unreachable(stage=stage, detail=text):
            return {"stage": stage.name, "text": text}
        case InDoubt(detail=text):
            return {"stage": "END_OF_DATA", "text": text}
        case Crashed(detail=text):
            return {"text": text}
        case Expired(expired_at=moment):
            return {"text": f"expires_at was {moment.isoformat()}"}
        case Accepted(reply=reply):
            return {"text": str(reply)}
        case Duplicate(detail=text):
            return {"text": text}
        case Conflict():
            return {"text": "another message was published with this login and message id"}
        case Forgotten(retention=retention):
            days = retention / timedelta(days=1)
            return {"text": f"published over {days:g} days ago: the ledger may have forgotten it"}
        case Poisonous(deaths=deaths):
            return {"text": f"{deaths} processes ended while they had it in hands"}
        case Barred():
            return {"text": "not among HOPMAIL_ALLOWED_RECIPIENT_DOMAINS of the consumer"}
        case NotDue(remaining=remaining):
            return {"text": f"due in {remaining.total_seconds():.0f} s"}
        case _:
            assert_never(outcome)
