"""Publish emails to RabbitMQ, each one confirmed; the consumer daemon sends them.

    from publisher_lib import Publisher

    publisher = Publisher("amqps://webapp:secret@rabbitmq.example.org/mail", app_id="webapp")

    receipt = publisher.send(
        to="Ada Lovelace <ada@example.org>",
        from_="My App <noreply@example.org>",
        subject="Confirm your address",
        text="Open https://app.example.org/verify?token=…",
        html='<a href="https://app.example.org/verify?token=…">Confirm</a>',
    )
    log.info("verification mail published", extra={"message_id": receipt.message_id})

When a call returns, the message is on the broker's disk. Else it raises a `PublishError`:
`InvalidEmail` says what to correct; `Unroutable`, `Rejected` and `NotPublished` mean that it is
surely not on the broker; `OutcomeUnknown` means publish it again with the same `message_id`.

`publisher_lib.testing` has an outbox for your app's own tests, which need no broker.
"""

import logging

from publisher_lib.errors import (
    InvalidEmail,
    NotPublished,
    OutcomeUnknown,
    PublishError,
    PublishManyFailed,
    Rejected,
    Unroutable,
)
from publisher_lib.message import Attachment, Content, Email
from publisher_lib.publisher import Publisher
from publisher_lib.receipt import Receipt
from publisher_lib.routing import Lane

__all__ = [
    "Attachment",
    "Content",
    "Email",
    "InvalidEmail",
    "Lane",
    "NotPublished",
    "OutcomeUnknown",
    "PublishError",
    "PublishManyFailed",
    "Publisher",
    "Receipt",
    "Rejected",
    "Unroutable",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())
