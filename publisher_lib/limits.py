"""How much one email may hold, counted alike by the model, the schema and other languages."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

MAX_RECIPIENTS: Final = 100
MAX_COMPOSED_BYTES: Final = 10_000_000
"""Below Postfix's default of 10 240 000, and as JSON below RabbitMQ 4's 16 MiB."""

ADDRESS_FIELDS: Final = ("email_to", "cc", "bcc")
HEADER_FIELDS: Final = ("email_to", "email_from", "subject", "cc", "bcc", "reply_to")
ATTACHMENT_FIELDS: Final = ("filename", "content_type", "content_id")

PART_BYTES: Final = 1_000
"""More than the delimiters and fixed headers of one part, or of the mail itself, take."""

HEADER_BYTES: Final = 200
"""More than one header's name, folding and encoding marks take."""

HEADER_FACTOR: Final = 6
"""One octet of UTF-8 takes at most this many in an encoded word or RFC 2231 parameter."""


def count_recipients(data: Mapping[str, Any]) -> int:
    """Return how many recipients the JSON form of an email names."""
    return sum(len(_strings(data.get(field))) for field in ADDRESS_FIELDS)


def composed_size_bound(data: Mapping[str, Any]) -> int:
    """Return an upper bound in bytes of the mail composed from an email's JSON form.

    Each text and attachment counts as base64 in lines of 76 characters, each header value at
    its worst encoding. What is not of the contract's types counts nothing.
    """
    headers = data.get("headers")
    extra = headers if isinstance(headers, Mapping) else {}
    bound = PART_BYTES + sum(map(_header_bound, (*extra.keys(), *extra.values())))
    for field in HEADER_FIELDS:
        bound += sum(map(_header_bound, _strings(data.get(field))))
    message = data.get("message")
    for text in message.values() if isinstance(message, Mapping) else ():
        bound += PART_BYTES + _text_bound(text)
    attachments = data.get("attachments")
    for attachment in attachments if isinstance(attachments, list | tuple) else ():
        bound += PART_BYTES + _attachment_bound(attachment)
    return bound


def recipients_message(count: int) -> str:
    """Say that there are too many recipients, and the cure."""
    return (
        f"email_to, cc and bcc name {count} recipients, at most {MAX_RECIPIENTS}: "
        "publish several emails"
    )


def size_message(bound: int) -> str:
    """Say that the mail would be too large, and the cure."""
    return (
        f"the composed mail may take {bound} bytes, at most {MAX_COMPOSED_BYTES}: "
        "link to large files instead of attaching them"
    )


def base64_lines(characters: int) -> int:
    """Return the bytes of base64 wrapped at 76 characters with CRLF (RFC 2045 §6.8)."""
    return -(-characters // 76) * 78


def _text_bound(text: object) -> int:
    if not isinstance(text, str):
        return 0
    octets = len(text.encode("utf-8", "surrogatepass")) + text.count("\n") + text.count("\r") + 2
    return base64_lines(-(-octets // 3) * 4)


def _attachment_bound(attachment: object) -> int:
    if not isinstance(attachment, Mapping):
        return 0
    content = attachment.get("content")
    named = (attachment.get(field) for field in ATTACHMENT_FIELDS)
    size = base64_lines(len(content)) if isinstance(content, str) else 0
    return size + sum(map(_header_bound, named))


def _header_bound(value: object) -> int:
    if not isinstance(value, str):
        return 0
    return HEADER_BYTES + HEADER_FACTOR * len(value.encode("utf-8", "surrogatepass"))


def _strings(value: object) -> Sequence[Any]:
    if isinstance(value, str):
        return (value,)
    return value if isinstance(value, list | tuple) else ()
