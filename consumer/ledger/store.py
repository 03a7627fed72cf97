"""What the ledger needs of whatever keeps its entries."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Protocol

from consumer.core.found import Known
from consumer.core.ledger import Claim, Ended, Ending, Wanted


class LedgerTrouble(Exception):
    """The ledger cannot be written or read now. Its text says why, and holds no secret."""


class Store(Protocol):
    """Keeps the entries. Belongs to one thread. Methods raise LedgerTrouble."""

    def apply(self, wanted: Sequence[Wanted], ended: Sequence[Ended]) -> list[Claim]:
        """End claims, then grant others, all or nothing. Returns each wanted's claim."""

    def deaths(self, fingerprints: Sequence[bytes]) -> dict[bytes, int]:
        """Return how many processes ended with each of these messages in hands."""

    def settle_dead(self) -> int:
        """Settle what ended processes left behind; return how many there were."""

    def prune(self, retention: timedelta) -> int:
        """Forget what last changed longer ago than `retention`; return how many entries."""

    def size(self) -> int:
        """Return how many bytes it takes where it is kept."""

    def close(self) -> None:
        """Let go of it."""


class Reader(Protocol):
    """Looks at the entries beside those who change them, and leaves no trace.

    Methods raise LedgerTrouble.
    """

    def known(self, message_id: str, login: str | None = None) -> tuple[Known, ...]:
        """Return what is known of a message id, of each login or of this one."""

    def close(self) -> None:
        """Let go of it."""


class Notes(Protocol):
    """What happens between two commits, noted at once. Thread-safe.

    Methods raise OSError or LedgerTrouble.
    """

    def sending(self, claim: Claim, recipients: Iterable[str]) -> bool:
        """Note that the next write may hold the dot; False: the claim is no longer ours."""

    def answered(self, claim: Claim, endings: Mapping[str, Ending]) -> None:
        """Note how a claim ends, if its dot was noted."""

    def forget(self, claims: Iterable[Claim]) -> None:
        """The store has their ends: their notes are needed no more."""

    def check(self) -> None:
        """Find out whether notes can be taken."""

    def close(self) -> None:
        """Take no more notes; what was noted stays."""
