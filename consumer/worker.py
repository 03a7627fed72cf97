"""The pipeline: decode → claim → compose → transact → decide. Its I/O is handed in."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from consumer.attempt import Transact, attempt, prepare
from consumer.core.crash import place_of
from consumer.core.decide import RetryPolicy, decide
from consumer.core.decode import read
from consumer.core.delivery import Delivery
from consumer.core.diversion import Diversion
from consumer.core.followup import aside, back_to_lane, followups
from consumer.core.freshness import not_now
from consumer.core.handled import Followup, Handled, Verdict
from consumer.core.ledger import POISON_AFTER_DEATHS
from consumer.core.mail import Foregone, Mail
from consumer.core.outcome import Accepted, Crashed, Forgotten, NotDue, Poisonous
from consumer.core.sender_policy import SenderPolicy
from consumer.core.trail import Trail, claimed_trail, forged, read_trail
from consumer.core.transaction import Transaction
from publisher_lib.message import Email
from publisher_lib.routing import TRACE_HEADERS


@dataclass(frozen=True, slots=True)
class Worker:
    """Finds out what happens to a delivery and decides what is to become of it.

    `retention` is how long the ledger remembers; `hold_if_uncertain` speaks for the mails that
    do not say themselves, `diversion` of who may get mail from here. Without a `senders` policy
    any login may send as anybody.
    """

    policy: RetryPolicy
    trusted_logins: frozenset[str]
    now: Callable[[], datetime]
    retention: timedelta
    hold_if_uncertain: bool = False
    diversion: Diversion | None = None
    senders: SenderPolicy | None = None

    def open(self, delivery: Delivery, fingerprint: bytes, deaths: int) -> Mail:
        """Return a delivery as a mail, so far as it can be read; `deaths` died of it."""
        now = self.now()
        trail = read_trail(delivery.properties, self.trusted_logins, now)
        mail = Mail(delivery, trail, fingerprint, deaths)
        if (untrusted := forged(delivery.properties, self.trusted_logins)) is not None:
            claimed = claimed_trail(delivery.properties, now)
            return replace(mail, trail=claimed, is_trusted=False, foregone=untrusted)
        if deaths >= POISON_AFTER_DEATHS:
            return replace(mail, foregone=Poisonous(deaths))
        try:
            email = read(delivery.properties, delivery.body)
        except Exception as error:  # noqa: BLE001 - the one place: a bug must not cost a message
            return replace(mail, foregone=Crashed(place_of(error)))
        foregone = None if email is None else self._foregone(email, trail, now)
        return replace(mail, email=email, foregone=foregone)

    def prepare(self, mail: Mail) -> Mail:
        """Return a mail that is to be sent with what the relay is to get; any other as it came."""
        return prepare(mail, self.now(), self.diversion)

    def handle(
        self,
        mail: Mail,
        transact: Transact,
        transactions: Iterable[Transaction] = (),
        *,
        is_login_proven: bool = False,
    ) -> Handled | None:
        """Return the record to settle; None when the delivery was given back untouched.

        `transactions`, read after `transact`, are those that it made. `is_login_proven`: the relay
        has taken our login since it last wanted one for this mail.
        """
        started_seconds, now = time.monotonic(), self.now()
        outcomes = attempt(mail, now, transact, self.diversion)
        if outcomes is None:
            return None
        due = _due(mail)
        verdicts = tuple(
            Verdict(
                recipients,
                outcome,
                decide(
                    outcome,
                    mail.trail.attempt,
                    now - due,
                    self.policy,
                    hold_if_uncertain=self._holds(mail.email),
                    is_login_proven=is_login_proven,
                ),
            )
            for outcome, recipients in outcomes.items()
        )
        return self._record(mail, verdicts, due, started_seconds, tuple(transactions))

    def back_to_lane(self, mail: Mail) -> Followup:
        """Return the copy that gives a mail back to its lane, no attempt spent."""
        return _signed_as_it_was(mail, back_to_lane(mail.delivery, mail.trail))

    def aside(self, mail: Mail) -> Followup:
        """Return the copy that comes back after the shortest delay, no attempt spent."""
        return _signed_as_it_was(mail, aside(mail.delivery, mail.trail, self.policy.delays[0]))

    def _foregone(self, email: Email, trail: Trail, now: datetime) -> Foregone | None:
        if self.senders and (breach := self.senders.breach(trail.login, email.sender)):
            return breach
        outcome = not_now(email, now)
        if isinstance(outcome, NotDue):
            return outcome
        # Before its time a mail claims nothing; and who replays one answers for it.
        due = max(trail.first_published, email.send_at or trail.first_published)
        if now - due > self.retention and not trail.epoch:
            return Forgotten(self.retention)
        return None

    def _holds(self, email: Email | None) -> bool:
        if email is None or email.if_uncertain is None:
            return self.hold_if_uncertain
        return email.if_uncertain == "hold"

    def _record(
        self,
        mail: Mail,
        verdicts: tuple[Verdict, ...],
        due: datetime,
        started_seconds: float,
        transactions: tuple[Transaction, ...],
    ) -> Handled:
        now, delivery = self.now(), mail.delivery
        accepted = any(isinstance(verdict.outcome, Accepted) for verdict in verdicts)
        traceparent = delivery.properties.headers.get(TRACE_HEADERS[0])
        return Handled(
            delivery=delivery,
            message_id=delivery.properties.message_id,
            attempt=mail.trail.attempt,
            traceparent=traceparent if isinstance(traceparent, str) else None,
            verdicts=verdicts,
            latency_seconds=(now - due).total_seconds() if accepted else None,
            duration_seconds=time.monotonic() - started_seconds,
            followups=tuple(
                _signed_as_it_was(mail, followup)
                for followup in followups(delivery, mail.trail, verdicts, now)
            ),
            transactions=transactions,
            replayed=mail.trail.replayed,
        )


def _signed_as_it_was(mail: Mail, followup: Followup) -> Followup:
    return followup if mail.is_trusted else replace(followup, is_signed=False)


def _due(mail: Mail) -> datetime:
    asked_for = mail.trail.asked_for
    if mail.email is None or mail.email.send_at is None or mail.foregone is not None:
        return asked_for
    return max(asked_for, mail.email.send_at)
