"""Mail of every kind, and the figures that it must leave."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from publisher_lib.routing import Lane
from tests.support.smtp_script import Event, Rule, say

NONE: Final = "none"
WORST: Final = ("ack", "pause", "retry", "dead_letter")
TRANSACTED: Final = ("accepted", "refused", "in_doubt")
ADA: Final = "ada@example.org"
NOBODY: Final = "nobody@example.org"
NEVER: Final = "never@example.org"

Figures = Counter[tuple[str, ...]]


@dataclass(frozen=True)
class Fate:
    """What came of one delivery for `recipients` of its recipients, who fared alike."""

    outcome: str
    disposition: str
    stage: str = NONE
    code_class: str = NONE
    reason: str = ""
    delay: str = ""
    recipients: int = 1


ACCEPTED: Final = Fate("accepted", "ack", "END_OF_DATA", "2yz")
LATER: Final = Fate("refused", "retry", "RCPT", "4yz", delay="1s")
STILL_LATER: Final = Fate("refused", "retry", "RCPT", "4yz", delay="2s")
EXHAUSTED: Final = Fate("refused", "dead_letter", "RCPT", "4yz", "attempts_exhausted")
REFUSED: Final = Fate("refused", "dead_letter", "RCPT", "5yz", "refused")
DOUBT: Final = Fate("in_doubt", "retry", "END_OF_DATA", delay="1s")
HELD: Final = Fate("in_doubt", "dead_letter", "END_OF_DATA", reason="in_doubt")
DUPLICATE: Final = Fate("duplicate", "ack")
CONFLICT: Final = Fate("conflict", "dead_letter", reason="conflict")
EXPIRED: Final = Fate("expired", "dead_letter", reason="expired")


def undecodable(reason: str) -> Fate:
    """Return what becomes of a message whose recipients cannot be read."""
    return Fate("undecodable", "dead_letter", reason=reason, recipients=0)


@dataclass(frozen=True)
class Sent:
    """A message, and each of its deliveries that were handled: the fates of its recipients."""

    message_id: str
    deliveries: tuple[tuple[Fate, ...], ...] = ()
    lane: Lane = Lane.TRANSACTIONAL
    to: tuple[str, ...] = (ADA,)
    fields: Mapping[str, object] = field(default_factory=dict)
    body: bytes | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)

    @property
    def octets(self) -> bytes:
        """What is published."""
        if self.body is not None:
            return self.body
        email = {
            "email_to": list(self.to),
            "email_from": "app@example.org",
            "subject": "Hello",
            "message": {"text": "Hello"},
        }
        return json.dumps(email | dict(self.fields)).encode()


def relay_rules() -> dict[str, Rule]:
    """Return what the relay does: nobody@ is refused, never@ deferred, later…@ deferred once."""
    met: set[str] = set()

    def recipient(argument: str) -> Event | None:
        address = argument.partition("<")[2].partition(">")[0]
        if address == NOBODY:
            return say("550 5.1.1 no such mailbox")
        is_first = address.startswith("later") and address not in met
        met.add(address)
        return say("451 4.7.1 come back") if is_first or address == NEVER else None

    return {"RCPT": recipient}


def at_once() -> list[Sent]:
    """Return what may be published all at once."""
    bulk, yesterday = Lane.BULK, datetime.now(UTC) - timedelta(days=1)
    once_more = ((LATER,), (ACCEPTED,))
    return [
        *(Sent(f"accepted-{number}", ((ACCEPTED,),)) for number in range(5)),
        *(Sent(f"accepted-bulk-{number}", ((ACCEPTED,),), bulk) for number in range(3)),
        Sent(
            "accepted-by-two",
            ((Fate("accepted", "ack", "END_OF_DATA", "2yz", recipients=2),),),
            to=(ADA, "bob@example.org"),
        ),
        Sent("later", once_more, to=("later-1@example.org",)),
        Sent("later-bulk", once_more, bulk, to=("later-2@example.org",)),
        Sent("never", ((LATER,), (STILL_LATER,), (EXHAUSTED,)), to=(NEVER,)),
        Sent("refused", ((REFUSED,),), to=(NOBODY,)),
        *(Sent(f"refused-bulk-{number}", ((REFUSED,),), bulk, to=(NOBODY,)) for number in range(2)),
        Sent(
            "each-his-own",
            ((ACCEPTED, LATER, REFUSED), (ACCEPTED,)),
            to=(ADA, "later-3@example.org", NOBODY),
        ),
        Sent("no-json", ((undecodable("invalid_json"),),), body=b"{"),
        Sent("breaks-the-contract", ((undecodable("invalid"),),), bulk, body=b"{}"),
        Sent(
            "of-another-type",
            ((undecodable("unsupported_type"),),),
            properties={"type": "email.v9"},
        ),
        Sent("expired", ((EXPIRED,),), fields={"expires_at": yesterday.isoformat()}),
    ]


def after_those() -> list[Sent]:
    """Return what needs that those are done: two further copies of one, another under its id."""
    copy = Sent("accepted-0", ((DUPLICATE,),))
    return [copy, copy, Sent("accepted-0", ((CONFLICT,),), fields={"subject": "Another"})]


def in_doubt() -> list[Sent]:
    """Return what the relay must not answer the first final dot of, one at a time."""
    return [
        Sent("in-doubt", ((DOUBT,), (ACCEPTED,))),
        Sent("held-in-doubt", ((HELD,),), fields={"if_uncertain": "hold"}),
    ]


@dataclass
class Expected:
    """The figures that messages must leave, by the values of their labels."""

    deliveries: Figures = field(default_factory=Counter)
    recipients: Figures = field(default_factory=Counter)
    outcomes: Figures = field(default_factory=Counter)
    dead_letters: Figures = field(default_factory=Counter)
    retries: Figures = field(default_factory=Counter)
    latencies: Figures = field(default_factory=Counter)
    received: Figures = field(default_factory=Counter)
    retry_steps: Figures = field(default_factory=Counter)
    transactions: Figures = field(default_factory=Counter)
    handled: int = 0

    def count(self, lane: str, fates: tuple[Fate, ...]) -> None:
        """Add one handled delivery. A paused one comes not anew: it is kept until a relay is up."""
        worst = max(fates, key=lambda fate: WORST.index(fate.disposition))
        self.handled += 1
        self.deliveries[lane, worst.disposition] += 1
        if worst.disposition != "pause":
            self.received[lane, "false"] += 1
        for delay in {fate.delay for fate in fates if fate.delay}:
            self.retry_steps[lane, delay] += 1
        self._count_transaction(lane, [f.outcome for f in fates if f.outcome in TRANSACTED])
        for fate in fates:
            self._count_fate(lane, fate)

    def _count_transaction(self, lane: str, outcomes: list[str]) -> None:
        if outcomes:
            self.transactions[(max(outcomes, key=TRANSACTED.index),)] += 1
        if "accepted" in outcomes:
            self.latencies[(lane,)] += 1

    def _count_fate(self, lane: str, fate: Fate) -> None:
        self.outcomes[fate.outcome, fate.stage, fate.code_class] += 1
        self.recipients[lane, fate.outcome] += fate.recipients
        if fate.reason:
            self.dead_letters[lane, fate.reason] += 1
        if fate.disposition == "retry":
            self.retries[lane, fate.outcome] += 1


def expected(messages: Iterable[Sent]) -> Expected:
    """Return the figures of messages."""
    found = Expected()
    for sent in messages:
        for fates in sent.deliveries:
            found.count(sent.lane.value, fates)
    return found
