"""The email of the contract `email.v1`: the model from which its JSON Schema is made."""

import mimetypes
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    model_validator,
)
from pydantic_core import PydanticCustomError

from publisher_lib.fields import (
    BASE64_PATTERN,
    CONTENT_ID_PATTERN,
    DENIED_TYPE_PATTERN,
    MEDIA_TYPE_PATTERN,
    NO_CONTROLS,
    NO_CONTROLS_PATTERN,
    Base64Text,
    Headers,
    Instant,
    Mailboxes,
    OneMailbox,
    OptionalMailboxes,
    check_media_type,
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

MAX_ATTACHMENTS: Final = 50
SURELY_SMALL_CHARACTERS: Final = 100_000
"""Texts this short cannot reach the size limit, so nothing needs counting."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Content(_Model):
    """What the mail says: plain text, HTML, or both (the reader's program chooses)."""

    text: str | None = None
    html: str | None = None

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["text"], "properties": {"text": {"type": "string"}}},
                {"required": ["html"], "properties": {"html": {"type": "string"}}},
            ]
        }
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.text is None and self.html is None:
            raise wrong("must have text, html or both")
        return self


class Attachment(_Model):
    """A file that goes with the mail; with a `content_id`, an image inside its HTML.

    `content` is base64; bytes given in Python are encoded. HTML refers to a `content_id` of
    `logo` as `cid:logo`.
    """

    filename: Annotated[
        str,
        Field(
            min_length=1,
            max_length=255,
            pattern=NO_CONTROLS_PATTERN.replace("^[^", r"^[^/\\"),
            description="a file name without folders and control characters",
            json_schema_extra=NO_CONTROLS,
        ),
    ]
    content_type: Annotated[
        str,
        Field(
            max_length=200,
            pattern=MEDIA_TYPE_PATTERN,
            description="type/subtype, parameters allowed; not multipart/* nor message/*",
            json_schema_extra={
                "not": {"anyOf": [{"pattern": DENIED_TYPE_PATTERN}, {"pattern": r"\n"}]}
            },
        ),
        AfterValidator(check_media_type),
    ]
    content: Annotated[
        Base64Text,
        Field(
            pattern=BASE64_PATTERN,
            description="the file in base64 with padding",
            json_schema_extra={
                "contentEncoding": "base64",
                "pattern": BASE64_PATTERN,
                "format": "base64",
                "not": {"pattern": r"\n"},
            },
        ),
    ]
    content_id: Annotated[
        str | None,
        Field(
            max_length=200,
            pattern=CONTENT_ID_PATTERN,
            description="letters, digits and . _ + -, optionally followed by @ and a domain",
            json_schema_extra={"not": {"pattern": r"\n"}},
        ),
    ] = None

    @classmethod
    def from_path(cls, path: str | Path, content_id: str | None = None) -> Self:
        """Read a file; its type is guessed from its name."""
        path = Path(path)
        guessed, encoding = mimetypes.guess_type(path.name)
        media_type = guessed if guessed and not encoding else "application/octet-stream"
        return cls.model_validate(
            {
                "filename": path.name,
                "content_type": media_type,
                "content": path.read_bytes(),
                "content_id": content_id,
            }
        )


class Email(_Model):
    """One email: whom it goes to, whom it is from, and what it says.

    `send_at` and `expires_at` bound when it may be sent; an expired one is dead-lettered, never
    sent. `if_uncertain` says what to do when nobody can know whether the relay took it.
    """

    email_to: Mailboxes
    email_from: OneMailbox
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
    message: Content
    cc: OptionalMailboxes = None
    bcc: OptionalMailboxes = None
    reply_to: OptionalMailboxes = None
    headers: Headers = None
    attachments: Annotated[
        tuple[Attachment, ...] | None, Field(max_length=MAX_ATTACHMENTS, strict=False)
    ] = None
    send_at: Instant = None
    expires_at: Instant = None
    if_uncertain: Literal["resend", "hold"] | None = None

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
