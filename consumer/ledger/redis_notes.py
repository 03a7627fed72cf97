"""What a process has Redis know before it takes its next step."""

from collections.abc import Iterable, Mapping
from time import monotonic

from consumer.core.ledger import Claim, Ending, State
from consumer.ledger.redis_entry import Tickets, ends
from consumer.ledger.redis_server import LEASE, Server


class RedisNotes:
    """What must be in Redis before the next step is taken."""

    def __init__(self, server: Server, tickets: Tickets) -> None:
        self._server = server
        self._tickets = tickets

    def sending(self, claim: Claim, recipients: Iterable[str]) -> bool:
        """Note that the next write may hold the dot; False: the claim is no longer ours."""
        asked_seconds = monotonic()
        doubt = Ending(State.DOUBTFUL, claim.wanted.generation)
        ticket = self._tickets.of(claim.wanted)
        entries = ends(claim, dict.fromkeys(recipients, doubt), ticket)
        is_ours = self._server.sending(claim.wanted.key, ticket, entries)
        # Whoever was stopped in here may find an answer that is no longer true.
        return is_ours and monotonic() - asked_seconds < LEASE.total_seconds() / 2

    def answered(self, claim: Claim, endings: Mapping[str, Ending]) -> None:
        """Note how a claim ends, unless its end is certain to follow at once."""
        # Where all accepted, no message is published in between.
        if any(ending.state is not State.ACCEPTED for ending in endings.values()):
            ticket = self._tickets.of(claim.wanted)
            entries = ends(claim, endings, ticket)
            self._server.end([(claim.wanted.key, ticket, entries)])

    def forget(self, claims: Iterable[Claim]) -> None:
        """Redis has their ends."""
        for claim in claims:
            self._tickets.forget(claim.wanted)

    def check(self) -> None:
        """Find out whether Redis can be written."""
        self._server.renew()

    def close(self) -> None:
        """Leave it to the store: what is closed takes no notes."""
