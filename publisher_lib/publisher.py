"""What a web app publishes its emails with."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from functools import partial
from itertools import repeat
from types import TracebackType
from typing import Any, Final, Literal, Self

from publisher_lib.batch import Batch
from publisher_lib.errors import InvalidEmail
from publisher_lib.message import Attachment, Email
from publisher_lib.observe import Observer
from publisher_lib.receipt import Receipt
from publisher_lib.routing import Lane
from publisher_lib.submitter import Submitter

DEFAULT_TIMEOUT: Final = timedelta(seconds=10)


class Publisher:
    """Publishes emails; each is confirmed by the broker or fails with one of the five errors.

    `url` is one broker's URL or those of several of one cluster (a list, or separated by commas):
    `amqp://login:password@host:5672/vhost`, or `amqps://` for TLS, the certificate verified
    (`?cacertfile=…&certfile=…&keyfile=…` name a private authority and a client certificate).
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
        self._submitter = Submitter(url, app_id=app_id, timeout=timeout, metrics=metrics)

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
        keys = repeat(None) if message_ids is None else message_ids
        publish = partial(self.publish_nowait, lane=lane, timeout=timeout, traceparent=traceparent)
        batch = Batch()
        for email, key in zip(emails, keys, strict=message_ids is not None):
            try:
                future = publish(email, message_id=key)
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
        return self._submitter.submit(
            email, lane=lane, message_id=message_id, timeout=timeout, traceparent=traceparent
        )

    def close(self, timeout: timedelta = DEFAULT_TIMEOUT) -> int:
        """Wait for open confirms, then disconnect; return how many emails had none in time.

        Whatever is published afterwards fails with `NotPublished`. Closing twice is fine. A
        publisher that is not closed waits for its confirms when the interpreter exits.
        """
        return self._submitter.close(timeout)

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
        return f"<Publisher {self._submitter}>"

    def _refuse_on_io_thread(self, method: str) -> None:
        if self._submitter.is_io_thread:
            raise RuntimeError(
                f"{method}() waits for the thread that runs this callback: use publish_nowait()"
            )
