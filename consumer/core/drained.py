"""What a host's workers still have in hands, while it is drained."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from consumer.core.record import record
from consumer.core.status import WorkerSeen

OBEYS_WITHIN: Final = timedelta(seconds=2)
"""A worker looks once a second; what the broker sent before it knew comes within the next."""


@record
class Hands:
    """A living worker, and how many mails it has; `has_obeyed`: it takes no more."""

    worker: str
    mails: int
    has_obeyed: bool


def has_obeyed(worker: WorkerSeen, since: datetime) -> bool:
    """Whether a worker wrote its figures after it must have known what was asked at `since`."""
    return worker.heartbeat - since >= OBEYS_WITHIN


def awaited(hands: Sequence[Hands]) -> str:
    """Say what is waited for, empty for nothing more."""
    parts = []
    if mails := sum(each.mails for each in hands):
        parts.append(f"{mails} {'mail is' if mails == 1 else 'mails are'} in hands")
    if deaf := [each.worker for each in hands if not each.has_obeyed]:
        parts.append(f"not yet heard of {', '.join(deaf)}")
    return "; ".join(parts)
