"""The record of one handled delivery: the only source of its log line and its metrics."""

from collections.abc import Mapping
from typing import Any

from consumer.core.delivery import Delivery
from consumer.core.disposition import Disposition
from consumer.core.outcome import Outcome
from consumer.core.record import record
from consumer.core.transaction import Transaction


@record
class Verdict:
    """One outcome, what is to become of it, and for which recipients.

    `recipients` is empty where none could be read (an undecodable delivery).
    """

    recipients: tuple[str, ...]
    outcome: Outcome
    disposition: Disposition


@record
class Followup:
    """A copy of the delivery, to be published and confirmed before the ack.

    One that `is_signed` has our login as its `user_id`: its headers will be believed. Without a
    `body` of its own it has the delivery's.
    """

    exchange: str
    routing_key: str
    headers: Mapping[str, Any]
    is_signed: bool = True
    body: bytes | None = None


@record
class Handled:
    """What was found out and decided about one delivery."""

    delivery: Delivery
    message_id: str | None
    attempt: int
    traceparent: str | None
    verdicts: tuple[Verdict, ...]
    latency_seconds: float | None
    """From `publish`, or `send_at` or a person's replay if later, to acceptance; None unless
    something was accepted."""
    duration_seconds: float
    """Handling time in this process."""
    followups: tuple[Followup, ...] = ()
    transactions: tuple[Transaction, ...] = ()
    """What the relays that were asked said, in their order."""
    replayed: int = 0
    """How often a person had it sent again."""
