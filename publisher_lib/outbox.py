"""What stands in for the broker in an app's tests: it keeps emails, or fails as it is told."""

import math
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from publisher_lib.courier import CLOSED, FULL
from publisher_lib.encode import Message
from publisher_lib.errors import (
    InvalidEmail,
    NotPublished,
    OutcomeUnknown,
    PublishError,
    Rejected,
    Unroutable,
)
from publisher_lib.message import Email
from publisher_lib.outgoing import Outgoing
from publisher_lib.receipt import Receipt
from publisher_lib.routing import EXCHANGE, Lane

ON_PURPOSE: Final = "a test wanted it so"
NO_TIME: Final = "a broker needs some time"

_calling = threading.local()


def is_in_callback() -> bool:
    """Return whether the caller runs in a done callback: there the library must not wait."""
    return getattr(_calling, "depth", 0) > 0


class Done(Future[Receipt]):
    """A future whose done callbacks may do no more than where they run on the I/O thread."""

    def add_done_callback(self, fn: Callable[[Future[Receipt]], object]) -> None:
        """Have `fn` called, at once where it is done."""

        def call(done: Future[Receipt]) -> None:
            _calling.depth = getattr(_calling, "depth", 0) + 1
            try:
                fn(done)
            finally:
                _calling.depth -= 1

        super().add_done_callback(call)


@dataclass(frozen=True, slots=True)
class Sent:
    """An email as the consumer would read it, and what goes with it."""

    email: Email
    message_id: str
    lane: Lane
    app_id: str | None
    traceparent: str | None


class Outbox:
    """What was published, oldest first; fails when it is told to. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent: list[Sent] = []
        self._error: type[PublishError] | None = None
        self._passes = 0
        self._times: float = 0

    @property
    def sent(self) -> list[Sent]:
        """What was confirmed so far; what failed is not in it."""
        with self._lock:
            return list(self._sent)

    def clear(self) -> None:
        """Forget what was published."""
        with self._lock:
            self._sent.clear()

    def fail_with(
        self, error: type[PublishError], *, after: int = 0, times: int | None = None
    ) -> None:
        """Have emails fail with one of the five errors: `times` of them, or until `recover`.

        `after` so many that are still confirmed: `publish_many` fails half way. Raises ValueError
        for any other error; `PublishManyFailed` is what `publish_many` makes of these.
        """
        if error not in FAILURES and error is not InvalidEmail:
            known: list[type[PublishError]] = [InvalidEmail, *FAILURES]
            names = ", ".join(each.__name__ for each in known)
            raise ValueError(f"an email fails with one of {names}")
        with self._lock:
            self._error = error
            self._passes, self._times = after, math.inf if times is None else times

    def recover(self) -> None:
        """Have emails succeed again."""
        with self._lock:
            self._error = None

    def take(
        self, lane: Lane, message: Message, timeout_seconds: float = math.inf, *, is_closed: bool
    ) -> Future[Receipt]:
        """Take a message as a broker would. Raises InvalidEmail if it is to fail with that."""
        outgoing = Outgoing(
            EXCHANGE,
            lane.value,
            message.properties,
            message.body,
            math.inf,
            Receipt(message.message_id),
            Done(),
        )
        if is_closed or not timeout_seconds:
            outgoing.expire(CLOSED if is_closed else NO_TIME)
            return outgoing.future
        with self._lock:
            error = self._due_error()
            if error is None:
                self._sent.append(_sent(lane, message))
        if error is InvalidEmail:
            raise InvalidEmail((("", ON_PURPOSE),), message.message_id)
        (outgoing.confirm if error is None else _failing(error, outgoing))()
        return outgoing.future

    def _due_error(self) -> type[PublishError] | None:
        if self._error is None:
            return None
        if self._passes:
            self._passes -= 1
            return None
        if self._times == 0:
            return None
        self._times -= 1
        return self._error


def _sent(lane: Lane, message: Message) -> Sent:
    properties = message.properties
    return Sent(
        Email.model_validate_json(message.body),
        message.message_id,
        lane,
        properties.app_id,
        properties.headers.get("traceparent"),
    )


def _failing(error: type[PublishError], outgoing: Outgoing) -> Callable[[], None]:
    return lambda: FAILURES[error](outgoing)


def _unroutable(outgoing: Outgoing) -> None:
    outgoing.returned = "312 NO_ROUTE"
    outgoing.unroutable()


def _lose(outgoing: Outgoing) -> None:
    outgoing.in_flight = True
    outgoing.expire(ON_PURPOSE)


FAILURES: Final[dict[type[PublishError], Callable[[Outgoing], None]]] = {
    Unroutable: _unroutable,
    Rejected: lambda outgoing: outgoing.reject(FULL),
    NotPublished: lambda outgoing: outgoing.expire(ON_PURPOSE),
    OutcomeUnknown: _lose,
}
"""How an email fails in the library itself, so that the errors' texts are its own."""
