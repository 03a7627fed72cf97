"""For a web app's own tests: its emails in memory, no broker.

    from publisher_lib.testing import outbox

    with outbox() as mails:
        sign_up("ada@example.org")          # the app publishes with its own Publisher
    assert mails.sent[0].email.subject == "Confirm your address"

With pytest a fixture of the same name is there by itself: `def test_sign_up(outbox): …`.
Meanwhile every `Publisher` of this process checks and encodes as ever, and connects to nothing.
What is handed a publisher may get an `OutboxPublisher` instead.
"""

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from unittest.mock import patch

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
from publisher_lib.observe import Observer
from publisher_lib.outgoing import Outgoing
from publisher_lib.publisher import DEFAULT_TIMEOUT, Publisher
from publisher_lib.receipt import Receipt
from publisher_lib.routing import EXCHANGE, Lane
from publisher_lib.submitter import Submitter

__all__ = ["Outbox", "OutboxPublisher", "Sent", "outbox"]

ON_PURPOSE: Final = "a test wanted it so"


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

    def take(self, lane: Lane, message: Message, *, is_closed: bool = False) -> Future[Receipt]:
        """Take a message as a broker would. Raises InvalidEmail if it is to fail with that."""
        outgoing = Outgoing(
            EXCHANGE,
            lane.value,
            message.properties,
            message.body,
            math.inf,
            Receipt(message.message_id),
        )
        if is_closed:
            outgoing.expire(CLOSED)
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


class OutboxPublisher(Publisher):
    """A `Publisher` whose emails go into `outbox`, whatever its URL; it never connects."""

    def __init__(
        self,
        url: str | Sequence[str] = "amqp://tests:tests@localhost/",
        *,
        app_id: str | None = None,
        timeout: timedelta = DEFAULT_TIMEOUT,
        metrics: Observer | None = None,
    ) -> None:
        super().__init__(url, app_id=app_id, timeout=timeout, metrics=metrics)
        self.outbox = Outbox()
        self._submitter = _OutboxSubmitter(
            self.outbox, url, app_id=app_id, timeout=timeout, metrics=metrics
        )


class _OutboxSubmitter(Submitter):
    def __init__(
        self,
        outbox: Outbox,
        url: str | Sequence[str],
        *,
        app_id: str | None,
        timeout: timedelta,
        metrics: Observer | None,
    ) -> None:
        super().__init__(url, app_id=app_id, timeout=timeout, metrics=metrics)
        self._outbox = outbox

    def hand_over(self, lane: Lane, message: Message, timeout_seconds: float) -> Future[Receipt]:  # noqa: ARG002 - nothing is waited for
        return self._outbox.take(lane, message, is_closed=self.is_closed)


@contextmanager
def outbox() -> Iterator[Outbox]:
    """Have every `Publisher` of this process deliver into the outbox that this gives.

    Those made before, too. An `OutboxPublisher` keeps its own. Not for processes forked meanwhile:
    what they publish stays in them.
    """
    box = Outbox()

    def hand_over(
        submitter: Submitter, lane: Lane, message: Message, _timeout_seconds: float
    ) -> Future[Receipt]:
        return box.take(lane, message, is_closed=submitter.is_closed)

    with patch.object(Submitter, "hand_over", hand_over):
        yield box


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
