"""What becomes of each email that is published, for whoever counts it."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, Protocol

from publisher_lib.errors import (
    InvalidEmail,
    NotPublished,
    OutcomeUnknown,
    Rejected,
    Unroutable,
)
from publisher_lib.routing import Lane

CONFIRMED: Final = "confirmed"
INVALID: Final = "invalid"
CANCELLED: Final = "cancelled"

FAILURES: Final[dict[type[BaseException], str]] = {
    InvalidEmail: INVALID,
    Unroutable: "unroutable",
    Rejected: "rejected",
    NotPublished: "not_published",
    OutcomeUnknown: "unknown",
}

RESULTS: Final = (CONFIRMED, *FAILURES.values(), CANCELLED)
"""Every word for what became of an email: a closed set."""


class Observer(Protocol):
    """Is told of each email's end; from any thread, and it must not block."""

    def ended(self, lane: Lane, result: str, seconds: float) -> None:
        """Take note: `result` is one of `RESULTS`, `seconds` the time since the call."""


def observed(observer: Observer, lane: Lane) -> Callable[[Future[Any]], None]:
    """Return a done callback that tells of an email whose publishing begins now."""
    began = time.perf_counter()

    def tell(done: Future[Any]) -> None:
        observer.ended(lane, _result(done), time.perf_counter() - began)

    return tell


def _result(done: Future[Any]) -> str:
    if done.cancelled():
        return CANCELLED
    error = done.exception()
    return CONFIRMED if error is None else FAILURES.get(type(error), "unknown")
