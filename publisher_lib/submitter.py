"""The way of an email to the broker, without waiting: checked, signed, handed over, counted."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from datetime import timedelta
from typing import Any, Final

from publisher_lib.broker_url import ACCEPTED
from publisher_lib.confirms import ConfirmedPublisher
from publisher_lib.encode import Message, encode
from publisher_lib.errors import InvalidEmail
from publisher_lib.message import Email
from publisher_lib.observe import INVALID, Observer, observed
from publisher_lib.receipt import Receipt
from publisher_lib.routing import EXCHANGE, Lane

MAX_SHORT_STRING: Final = 255


class Submitter:
    """Submits emails. Its arguments, and what it raises, are `Publisher`'s."""

    def __init__(
        self,
        url: str | Sequence[str],
        *,
        app_id: str | None,
        timeout: timedelta,
        metrics: Observer | None,
    ) -> None:
        if app_id is not None and not _is_short_string(app_id):
            raise ValueError(f"app_id must be a string of 1 to {MAX_SHORT_STRING} bytes")
        self._app_id = app_id
        self._timeout_seconds = _seconds(timeout)
        self._metrics = metrics
        self._confirmed = ConfirmedPublisher(url, name=app_id or "publisher_lib")
        logins = {broker.login for broker in self._confirmed.brokers}
        if len(logins) > 1:
            # Every message is signed with its login before it is known which broker takes it.
            raise ValueError(f"every URL must have the same login; {ACCEPTED}")
        (self._login,) = logins

    @property
    def is_io_thread(self) -> bool:
        """Whether the caller runs where done callbacks run: it must not wait for a confirm."""
        return self._confirmed.is_io_thread

    def submit(
        self,
        email: Email | Mapping[str, Any],
        *,
        lane: Lane,
        message_id: str | None,
        timeout: timedelta | None,
        traceparent: str | None,
    ) -> Future[Receipt]:
        """Submit an email, as `Publisher.publish_nowait` says."""
        lane = Lane(lane)
        timeout_seconds = self._timeout_seconds if timeout is None else _seconds(timeout)
        tell = None if self._metrics is None else observed(self._metrics, lane)
        message = self._encode(email, lane, message_id, traceparent)
        future = self.hand_over(lane, message, timeout_seconds)
        if tell is not None:
            future.add_done_callback(tell)
        return future

    def hand_over(self, lane: Lane, message: Message, timeout_seconds: float) -> Future[Receipt]:
        """Have a message carried to the broker; `publisher_lib.testing` keeps it instead."""
        return self._confirmed.deliver(
            EXCHANGE,
            lane.value,
            message.properties,
            message.body,
            timeout_seconds,
            receipt=Receipt(message.message_id),
        )

    def refused(self, lane: Lane) -> None:
        """Count an email that breaks the contract."""
        if self._metrics is not None:
            self._metrics.ended(lane, INVALID, 0.0)

    @property
    def is_closed(self) -> bool:
        """Whether nothing is published any more."""
        return self._confirmed.is_closed

    def close(self, timeout: timedelta) -> int:
        """Wait for open confirms, then disconnect; return how many emails had none in time."""
        return self._confirmed.close(_seconds(timeout))

    def __str__(self) -> str:
        brokers = ",".join(map(str, self._confirmed.brokers))
        state = "connected" if self._confirmed.is_connected else "not connected"
        return f"{brokers} {state}"

    def _encode(
        self,
        email: Email | Mapping[str, Any],
        lane: Lane,
        message_id: str | None,
        traceparent: str | None,
    ) -> Message:
        try:
            return encode(
                email,
                message_id=message_id,
                traceparent=traceparent,
                login=self._login,
                app_id=self._app_id,
            )
        except InvalidEmail:
            self.refused(lane)
            raise


def _is_short_string(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value.encode()) <= MAX_SHORT_STRING


def _seconds(timeout: timedelta) -> float:
    if not isinstance(timeout, timedelta):
        seconds = timeout if isinstance(timeout, int | float) else "…"
        raise TypeError(f"timeout must be a timedelta: timedelta(seconds={seconds})")
    if timeout < timedelta():
        raise ValueError("a timeout must not be negative")
    return timeout.total_seconds()
