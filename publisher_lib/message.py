"""The email of the contract `email.v1`: the model from which its JSON Schema is made."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Annotated, Final, Literal, Self

from pydantic import ConfigDict, Field, GetPydanticSchema, model_validator
from pydantic_core import PydanticCustomError

from publisher_lib.fields import (
    NO_CONTROLS,
    NO_CONTROLS_PATTERN,
    Headers,
    Instant,
    Mailboxes,
    OneMailbox,
    OptionalMailboxes,
    wrong,
)
from publisher_lib.limits import (
    MAX_COMPOSED_BYTES,
    MAX_RECIPIENTS,
    composed_size_bound,
    recipients_message,
    size_message,
)
from publisher_lib.mailbox import Mailbox, parse_mailbox
from publisher_lib.model import Model
from publisher_lib.parts import Attachment, Content

__all__ = ["Attachment", "Content", "Email"]

MAX_ATTACHMENTS: Final = 50
SURELY_SMALL_CHARACTERS: Final = 100_000
"""Texts this short cannot reach the size limit, so nothing needs counting."""


class Email(Model):
    """One email: whom it goes to, whom it is from, and what it says.

    `send_at` and `expires_at` bound when it may be sent; an expired one is dead-lettered, never
    sent. `if_uncertain` says what to do when nobody can know whether the relay took it.
    """

    email_to: Annotated[Mailboxes, Field(description="whom it goes to, the To field")]
    email_from: Annotated[
        OneMailbox,
        Field(description="the sender's mailbox: addr@domain or Display Name <addr@domain>"),
    ]
    subject: Annotated[
        str,
        Field(
            min_length=1,
            max_length=998,
            pattern=NO_CONTROLS_PATTERN,
            description="1 to 998 characters without control characters",
            json_schema_extra=NO_CONTROLS,
        ),
    ]
    message: Annotated[Content, Field(description="what it says: text, html or both")]
    cc: Annotated[
        OptionalMailboxes, Field(description="who gets a copy, for all to see: the Cc field")
    ] = None
    bcc: Annotated[
        OptionalMailboxes, Field(description="who gets a copy that no other recipient sees")
    ] = None
    reply_to: Annotated[
        OptionalMailboxes, Field(description="where answers go, if not to email_from")
    ] = None
    headers: Annotated[
        Headers, Field(description="further header fields, none that Hopmail writes itself")
    ] = None
    attachments: Annotated[
        Sequence[Attachment] | None,
        GetPydanticSchema(lambda _source, handler: handler(tuple[Attachment, ...] | None)),
        Field(
            max_length=MAX_ATTACHMENTS,
            strict=False,
            description="files that go with it, and images inside its HTML",
        ),
    ] = None
    send_at: Annotated[Instant, Field(description="not to be sent before this moment")] = None
    expires_at: Annotated[
        Instant, Field(description="not to be sent from this moment on: dead-lettered instead")
    ] = None
    if_uncertain: Annotated[
        Literal["resend", "hold"] | None,
        Field(
            description="when nobody can know whether the relay took it: resend (the default; "
            "it may arrive twice) or hold (as a dead letter, for a person to decide)"
        ),
    ] = None

    model_config = ConfigDict(
        json_schema_extra={
            "maxRecipients": MAX_RECIPIENTS,
            "maxComposedBytes": MAX_COMPOSED_BYTES,
        }
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        recipients = len(self.email_to) + len(self.cc or ()) + len(self.bcc or ())
        if recipients > MAX_RECIPIENTS:
            raise wrong(recipients_message(recipients))
        short = len(self.message.text or "") + len(self.message.html or "")
        if self.attachments or short > SURELY_SMALL_CHARACTERS:
            bound = composed_size_bound(self.model_dump())
            if bound > MAX_COMPOSED_BYTES:
                raise PydanticCustomError(
                    "too_large", "{message}", {"message": size_message(bound)}
                )
        return self

    def to_json(self) -> bytes:
        """Return the body of the message to publish."""
        return self.model_dump_json(exclude_none=True).encode()

    @cached_property
    def sender(self) -> Mailbox:
        """Whom it is from."""
        return parse_mailbox(self.email_from)

    @cached_property
    def to(self) -> tuple[Mailbox, ...]:
        """The To field."""
        return _parsed(self.email_to)

    @cached_property
    def copies(self) -> tuple[Mailbox, ...]:
        """The Cc field."""
        return _parsed(self.cc)

    @cached_property
    def blind_copies(self) -> tuple[Mailbox, ...]:
        """Recipients no header names."""
        return _parsed(self.bcc)

    @cached_property
    def replies_to(self) -> tuple[Mailbox, ...]:
        """The Reply-To field."""
        return _parsed(self.reply_to)

    @cached_property
    def recipients(self) -> tuple[str, ...]:
        """Every address it goes to, once."""
        everybody = (*self.to, *self.copies, *self.blind_copies)
        return tuple(dict.fromkeys(mailbox.address for mailbox in everybody))


def _parsed(mailboxes: str | Iterable[str] | None) -> tuple[Mailbox, ...]:
    return tuple(map(parse_mailbox, mailboxes or ()))
