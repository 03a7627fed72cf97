"""For a web app's own tests: its emails in memory, no broker.

    from publisher_lib.testing import outbox

    with outbox() as mails:
        sign_up("ada@example.org")          # the app publishes with its own Publisher
    assert mails.sent[0].email.subject == "Confirm your address"

With pytest a fixture of the same name is there by itself: `def test_sign_up(outbox): …`.
Meanwhile every `Publisher` of this process checks and encodes as ever, and connects to nothing.
What is handed a publisher may get an `OutboxPublisher` instead.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import timedelta
from functools import partialmethod
from unittest.mock import patch

from publisher_lib.encode import Message
from publisher_lib.errors import InvalidEmail
from publisher_lib.observe import Observer
from publisher_lib.outbox import Outbox, Sent, is_in_callback
from publisher_lib.publisher import DEFAULT_TIMEOUT, Publisher
from publisher_lib.receipt import Receipt
from publisher_lib.routing import Lane
from publisher_lib.submitter import Submitter

__all__ = ["Outbox", "OutboxPublisher", "Sent", "outbox"]


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

    @property
    def is_io_thread(self) -> bool:
        return is_in_callback()

    def hand_over(self, lane: Lane, message: Message, timeout_seconds: float) -> Future[Receipt]:
        return _handed_over(self, self._outbox, lane, message, timeout_seconds)


@contextmanager
def outbox() -> Iterator[Outbox]:
    """Have every `Publisher` of this process deliver into the outbox that this gives.

    Those made before, too. An `OutboxPublisher` keeps its own. Not for processes forked meanwhile:
    what they publish stays in them.
    """
    box = Outbox()
    hand_over = partialmethod(_handed_over, box)
    is_io_thread = property(lambda _submitter: is_in_callback())
    with patch.multiple(Submitter, hand_over=hand_over, is_io_thread=is_io_thread):
        yield box


def _handed_over(
    submitter: Submitter, box: Outbox, lane: Lane, message: Message, timeout_seconds: float
) -> Future[Receipt]:
    try:
        return box.take(lane, message, timeout_seconds, is_closed=submitter.is_closed)
    except InvalidEmail:
        submitter.refused(lane)
        raise
