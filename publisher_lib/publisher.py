"""What a web app publishes its emails with."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from itertools import repeat
from types import TracebackType
from typing import Any, Final, Literal, Self

from publisher_lib.batch import Batch
from publisher_lib.broker_url import ACCEPTED
from publisher_lib.confirms import ConfirmedPublisher
from publisher_lib.encode import Message, encode
from publisher_lib.errors import InvalidEmail
from publisher_lib.message import Attachment, Email
from publisher_lib.observe import INVALID, Observer, observed
from publisher_lib.receipt import Receipt
from publisher_lib.routing import EXCHANGE, Lane

DEFAULT_TIMEOUT: Final = timedelta(seconds=10)
MAX_SHORT_STRING: Final = 255


class Publisher:
    """Publishes emails; each is confirmed by the broker or fails with one of the five errors.

    `url` is one broker's URL or those of several of one cluster (a list, or separated by commas):
    `amqp://login:password@host:5672/vhost`, or `amqps://` for TLS, the certificate verified.
    `app_id` names your app in logs and dead letters. `timeout` is the default for each call.
    `metrics` is told what becomes of each email: `publisher_lib.metrics.PublisherMetrics()`, or
    anything that does what an `Observer` does.

    Make one for the whole process, when the module is imported if you like: it connects at the
    first publish, with one thread and one connection, may be used from any thread, and works on
    in forked children (gunicorn --preload, celery).

    Raises ValueError when an argument is wrong, TypeError when a timeout is no timedelta; the
    text never holds the password.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        *,
        app_id: str | None = None,
        timeout: timedelta = DEFAULT_TIMEOUT,
        metrics: Observer | None = None,
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

    def publish(
        self,
        email: Email | Mapping[str, Any],
        *,
        lane: Lane = Lane.TRANSACTIONAL,
        message_id: str | None = None,
        timeout: timedelta | None = None,
        traceparent: str | None = None,
    ) -> Receipt:
        """Publish an email and wait until the broker has it safe on disk.

        `message_id` is your key for this email (a UUIDv7 is made without one): after
        `OutcomeUnknown` publish again with the same. `traceparent` goes to the consumer's log
        (W3C Trace Context).

        Raises `InvalidEmail`, `Unroutable`, `Rejected`, `NotPublished` or `OutcomeUnknown`; and
        RuntimeError in the done callback of a `publish_nowait`, where waiting would never end.
        """
        self._refuse_on_io_thread("publish")
        future = self.publish_nowait(
            email, lane=lane, message_id=message_id, timeout=timeout, traceparent=traceparent
        )
        return future.result()

    def send(
        self,
        *,
        to: str | Sequence[str],
        from_: str,
        subject: str,
        text: str | None = None,
        html: str | None = None,
        cc: str | Sequence[str] | None = None,
        bcc: str | Sequence[str] | None = None,
        reply_to: str | Sequence[str] | None = None,
        attachments: Sequence[Attachment] | None = None,
        headers: Mapping[str, str] | None = None,
        send_at: datetime | None = None,
        expires_at: datetime | None = None,
        if_uncertain: Literal["resend", "hold"] | None = None,
        lane: Lane = Lane.TRANSACTIONAL,
        message_id: str | None = None,
        timeout: timedelta | None = None,
        traceparent: str | None = None,
    ) -> Receipt:
        """`publish` an email made of these; raises what it raises."""
        email = {
            "email_to": to,
            "email_from": from_,
            "subject": subject,
            "message": {"text": text, "html": html},
            "cc": cc,
            "bcc": bcc,
            "reply_to": reply_to,
            "attachments": attachments,
            "headers": headers,
            "send_at": send_at,
            "expires_at": expires_at,
            "if_uncertain": if_uncertain,
        }
        return self.publish(
            email, lane=lane, message_id=message_id, timeout=timeout, traceparent=traceparent
        )

    def publish_many(
        self,
        emails: Iterable[Email | Mapping[str, Any]],
        *,
        lane: Lane = Lane.TRANSACTIONAL,
        message_ids: Iterable[str] | None = None,
        timeout: timedelta | None = None,
        traceparent: str | None = None,
    ) -> list[Receipt]:
        """Publish emails without waiting for each; return their receipts in the same order.

        They are taken from the iterable, checked and written one after the other, at most a
        window ahead of the broker: any number fits in memory. A list of `Email`s is known to be
        valid as a whole. `message_ids`, one for each, make it safe to repeat; `timeout` is each
        email's own.

        At the first failure no more is taken, and what is on its way is awaited. Raises
        `PublishManyFailed`, which tells by index what was confirmed and what was not and why;
        ValueError when there are not as many `message_ids` as emails; TypeError for one email.
        """
        self._refuse_on_io_thread("publish_many")
        if isinstance(emails, Email | Mapping | str | bytes):
            raise TypeError("publish_many takes several emails, in a list; publish takes one")
        if isinstance(message_ids, str):
            raise TypeError("message_ids must be a list of one for each email")
        pairs = (
            zip(emails, repeat(None), strict=False)
            if message_ids is None
            else zip(emails, message_ids, strict=True)
        )
        batch = Batch()
        for email, message_id in pairs:
            try:
                future = self.publish_nowait(
                    email,
                    lane=lane,
                    message_id=message_id,
                    timeout=timeout,
                    traceparent=traceparent,
                )
            except InvalidEmail as error:
                batch.refuse(error)
                break
            if not batch.add(future):
                break
        return batch.wait()

    def publish_nowait(
        self,
        email: Email | Mapping[str, Any],
        *,
        lane: Lane = Lane.TRANSACTIONAL,
        message_id: str | None = None,
        timeout: timedelta | None = None,
        traceparent: str | None = None,
    ) -> Future[Receipt]:
        """Publish an email; the future has the receipt or the error that `publish` would raise.

        In asyncio: `receipt = await asyncio.wrap_future(publisher.publish_nowait(email))`.
        Done callbacks run on the I/O thread: they must be short and wait for nothing. Cancelling
        succeeds as long as nothing was written. Blocks while a window of 1000 emails is full,
        except in a done callback.

        Raises `InvalidEmail` at once.
        """
        lane = Lane(lane)
        timeout_seconds = self._timeout_seconds if timeout is None else _seconds(timeout)
        tell = None if self._metrics is None else observed(self._metrics, lane)
        message = self._encode(email, lane, message_id, traceparent)
        future = self._confirmed.deliver(
            EXCHANGE,
            lane.value,
            message.properties,
            message.body,
            timeout_seconds,
            receipt=Receipt(message.message_id),
        )
        if tell is not None:
            future.add_done_callback(tell)
        return future

    def close(self, timeout: timedelta = DEFAULT_TIMEOUT) -> int:
        """Wait for open confirms, then disconnect; return how many emails had none in time.

        Whatever is published afterwards fails with `NotPublished`. Closing twice is fine. A
        publisher that is not closed waits for its confirms when the interpreter exits.
        """
        return self._confirmed.close(_seconds(timeout))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        brokers = ",".join(map(str, self._confirmed.brokers))
        state = "connected" if self._confirmed.is_connected else "not connected"
        return f"<Publisher {brokers} {state}>"

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
            if self._metrics is not None:
                self._metrics.ended(lane, INVALID, 0.0)
            raise

    def _refuse_on_io_thread(self, method: str) -> None:
        if self._confirmed.is_io_thread:
            raise RuntimeError(
                f"{method}() waits for the thread that runs this callback: use publish_nowait()"
            )


def _is_short_string(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value.encode()) <= MAX_SHORT_STRING


def _seconds(timeout: timedelta) -> float:
    if not isinstance(timeout, timedelta):
        seconds = timeout if isinstance(timeout, int | float) else "…"
        raise TypeError(f"timeout must be a timedelta: timedelta(seconds={seconds})")
    if timeout < timedelta():
        raise ValueError("a timeout must not be negative")
    return timeout.total_seconds()
