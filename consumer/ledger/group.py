"""What the ledger commits together."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from consumer.core.ledger import Claim, Ended, Wanted

Granted = Callable[[Sequence[Claim]], None]
"""Gets what was granted of what was wanted, one by one."""


@dataclass(slots=True)
class Group:
    """What is committed together. What failed is tried again, but for what is kept of it."""

    wanted: list[Wanted] = field(default_factory=list)
    granted: list[tuple[int, Granted]] = field(default_factory=list)
    """How many of `wanted`, in their order, each callback has asked for."""
    ended: list[tuple[Ended, Callable[[], None]]] = field(default_factory=list)
    asked: list[tuple[Sequence[bytes], Future[dict[bytes, int]]]] = field(default_factory=list)
    claims: list[Claim] | None = None
    """What was granted of `wanted`, once that is kept."""
    looks_again: bool = False
    """Whether those of `claims` that wait are asked for once more."""

    def __bool__(self) -> bool:
        return bool(self.wanted or self.ended or self.asked)
