"""The pipeline: decode → compose → transact → decide, for one delivery. Its I/O is handed in."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from consumer.core.answer import Answer, answer_for_all
from consumer.core.compose import compose
from consumer.core.decide import RetryPolicy, decide
from consumer.core.decode import decode
from consumer.core.delivery import Delivery
from consumer.core.envelope import Composed
from consumer.core.followup import back_to_lane, followups
from consumer.core.freshness import not_now
from consumer.core.handled import Followup, Handled, Verdict
from consumer.core.outcome import (
    Accepted,
    Crashed,
    InDoubt,
    Outcome,
    Undecodable,
)
from consumer.core.trail import Trail, read_trail
from publisher_lib.routing import TRACE_HEADERS

Transact = Callable[[Composed], Answer | None]
"""Gives each recipient's outcome; None when the transaction was given up before the final dot."""


@dataclass(frozen=True, slots=True)
class Worker:
    """Finds out what happens to a delivery and decides what is to become of it."""

    policy: RetryPolicy
    trusted_logins: frozenset[str]
    now: Callable[[], datetime]

    def handle(
        self, delivery: Delivery, transact: Transact, *, is_login_proven: bool = False
    ) -> Handled | None:
        """Return the record to settle; None when the delivery was given back untouched.

        `is_login_proven`: the relay has taken our login since it last wanted one for this mail.
        """
        started_seconds = time.monotonic()
        now = self.now()
        trail = read_trail(delivery.properties, self.trusted_logins, now)
        prepared = _prepare(delivery, trail, now)
        if isinstance(prepared, Foregone):
            outcomes, hold, due = prepared.outcomes, False, trail.first_published
        else:
            answer = _transact(prepared.composed, transact)
            if answer is None:
                return None
            outcomes, hold = _by_outcome(answer), prepared.hold_if_uncertain
            due = max(trail.first_published, prepared.send_at or trail.first_published)
        verdicts = tuple(
            Verdict(
                recipients,
                outcome,
                decide(
                    outcome,
                    trail.attempt,
                    now - due,
                    self.policy,
                    hold_if_uncertain=hold,
                    is_login_proven=is_login_proven,
                ),
            )
            for outcome, recipients in outcomes.items()
        )
        return self._record(delivery, trail, verdicts, due, started_seconds)

    def back_to_lane(self, delivery: Delivery) -> Followup:
        """Return the copy that gives a delivery back to its lane, no attempt spent."""
        trail = read_trail(delivery.properties, self.trusted_logins, self.now())
        return back_to_lane(delivery, trail)

    def _record(
        self,
        delivery: Delivery,
        trail: Trail,
        verdicts: tuple[Verdict, ...],
        due: datetime,
        started_seconds: float,
    ) -> Handled:
        now = self.now()
        accepted = any(isinstance(verdict.outcome, Accepted) for verdict in verdicts)
        traceparent = delivery.properties.headers.get(TRACE_HEADERS[0])
        return Handled(
            delivery=delivery,
            message_id=delivery.properties.message_id,
            attempt=trail.attempt,
            traceparent=traceparent if isinstance(traceparent, str) else None,
            verdicts=verdicts,
            latency_seconds=(now - due).total_seconds() if accepted else None,
            duration_seconds=time.monotonic() - started_seconds,
            followups=followups(delivery, trail, verdicts, now),
        )


@dataclass(frozen=True, slots=True)
class Ready:
    """A mail to be handed to the relay."""

    composed: Composed
    hold_if_uncertain: bool
    send_at: datetime | None


@dataclass(frozen=True, slots=True)
class Foregone:
    """Outcomes that stand before any relay is asked."""

    outcomes: dict[Outcome, tuple[str, ...]]


def _prepare(delivery: Delivery, trail: Trail, now: datetime) -> Ready | Foregone:
    pending = trail.pending or ()
    try:
        email = decode(delivery.properties, delivery.body)
        if isinstance(email, Undecodable):
            return Foregone({email: pending})
        if (outcome := not_now(email, now)) is not None:
            return Foregone({outcome: pending or email.recipients})
        composed = compose(email, delivery.properties.message_id or "", trail.first_published)
    except Exception as error:  # noqa: BLE001 - the one place: a bug must not cost a message
        return Foregone({Crashed(place_of(error)): pending})
    if pending:
        envelope = replace(composed.envelope, recipients=pending)
        composed = replace(composed, envelope=envelope)
    return Ready(composed, email.if_uncertain == "hold", email.send_at)


def _transact(composed: Composed, transact: Transact) -> Answer | None:
    try:
        return transact(composed)
    except Exception as error:  # noqa: BLE001 - a bug in there may have sent it: nobody knows
        outcome = InDoubt(f"our own code raised: {place_of(error)}")
        return answer_for_all(composed.envelope.recipients, outcome)


def place_of(error: BaseException | None) -> str:
    """Name the exception and its place, never its text: that may hold a body."""
    trace = error.__traceback__ if error is not None else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else "unknown"
    return f"{type(error).__name__} in {place}"


def _by_outcome(answer: Answer) -> dict[Outcome, tuple[str, ...]]:
    if len(answer) == 1:
        return {answer[0][1]: (answer[0][0],)}
    grouped: dict[Outcome, list[str]] = {}
    for recipient, outcome in answer:
        grouped.setdefault(outcome, []).append(recipient)
    return {outcome: tuple(recipients) for outcome, recipients in grouped.items()}
