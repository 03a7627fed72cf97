"""A delivery on its way through this process, with what was found out about it so far."""

from consumer.core.delivery import Delivery
from consumer.core.envelope import Composed
from consumer.core.ledger import ALONE_AFTER_DEATHS, Claim, Wanted
from consumer.core.outcome import (
    Conflict,
    Crashed,
    Forgotten,
    NotDue,
    Poisonous,
    Unauthorized,
    Undecodable,
)
from consumer.core.record import record
from consumer.core.trail import Trail
from publisher_lib.message import Email

Foregone = NotDue | Poisonous | Conflict | Forgotten | Crashed | Undecodable | Unauthorized
"""Outcomes that stand before the ledger is asked for its recipients, or granted none."""


@record
class Mail:
    """A delivery. `email` is None where it could not be read, `claim` where it needs none."""

    delivery: Delivery
    trail: Trail
    fingerprint: bytes
    deaths: int = 0
    is_trusted: bool = True
    """Whether the trail is to be believed; else it is what the message claims."""
    email: Email | None = None
    claim: Claim | None = None
    composed: Composed | None = None
    """What the relay is to get, where that was made ahead."""
    foregone: Foregone | None = None

    @property
    def pending(self) -> tuple[str, ...]:
        """The recipients it is still owed to; none where they cannot be read."""
        if self.trail.pending is not None or self.email is None:
            return self.trail.pending or ()
        return self.email.recipients

    @property
    def wanted(self) -> Wanted | None:
        """What to ask the ledger for; None when it is not to be sent anyway."""
        message_id = self.delivery.properties.message_id
        if self.email is None or self.foregone is not None or not message_id:
            return None
        recipients = tuple(dict.fromkeys(self.pending))
        return Wanted(
            self.trail.key(message_id), self.trail.generation, self.fingerprint, recipients
        )

    @property
    def must_be_alone(self) -> bool:
        """Whether nothing else may be in hands while this is: processes died of it, it seems."""
        return self.deaths >= ALONE_AFTER_DEATHS
