"""The field types of an email: how each is checked, and what the schema says of it."""

import base64
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from publisher_lib.limits import MAX_RECIPIENTS
from publisher_lib.mailbox import (
    CONTROLS,
    MAILBOX_PATTERN,
    MAX_MAILBOX_CHARACTERS,
    parse_mailbox,
)

NO_CONTROLS: Final = {"not": {"pattern": f"[{CONTROLS}]"}}
NO_CONTROLS_PATTERN: Final = f"^[^{CONTROLS}]*$"

MAX_HEADERS: Final = 50
MAX_HEADER_NAME: Final = 76
MAX_HEADER_VALUE: Final = 900
"""With its name one header fits a line of 998 octets even where it cannot be folded."""

DENIED_HEADERS: Final = (
    "From", "To", "Cc", "Bcc", "Sender", "Reply-To", "Date", "Subject", "Message-ID",
    "DKIM-Signature", "Return-Path", "Received",
)  # fmt: skip
DENIED_PREFIXES: Final = ("MIME-", "Content-", "Resent-")

_HEADER_NAME: Final = r"^[!-9;-~]+$"
_INSTANT: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}"
    r"(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})$"
)


def any_case(word: str) -> str:
    """Return a pattern for the word in any case: ECMA-262 has no flag inside a pattern."""
    return "".join(f"[{c.upper()}{c.lower()}]" if c.isalpha() else c for c in word)


DENIED_HEADER_PATTERN: Final = (
    "^(?:"
    + "|".join(
        [f"{any_case(name)}$" for name in DENIED_HEADERS] + [*map(any_case, DENIED_PREFIXES)]
    )
    + ")"
)

_header_name: Final = re.compile(_HEADER_NAME.removesuffix("$") + r"\Z")
_denied_header: Final = re.compile(DENIED_HEADER_PATTERN)
_controls: Final = re.compile(f"[{CONTROLS}]")
_instant: Final = re.compile(_INSTANT.removesuffix("$") + r"\Z")


def wrong(message: str, **context: Any) -> PydanticCustomError:
    """Return the error for a value outside the contract; `context` may hold `at`, a sub-path."""
    return PydanticCustomError("contract", "{message}", {"message": message, **context})


def check_mailbox(value: object) -> str:
    """Return the mailbox as given if it is one."""
    if not isinstance(value, str):
        raise wrong("must be a string: addr@domain or Display Name <addr@domain>")
    try:
        parse_mailbox(value)
    except ValueError as error:
        raise wrong(str(error)) from None
    return value


def check_mailboxes(value: object) -> tuple[str, ...] | None:
    """Return one or several mailboxes as a tuple."""
    if value is None:
        return None
    if isinstance(value, str):
        return (_check_only_mailbox(value),)
    if not isinstance(value, Sequence) or isinstance(value, bytes):
        raise wrong("must be a mailbox or a list of mailboxes")
    if not 1 <= len(value) <= MAX_RECIPIENTS:
        raise wrong(f"must have 1 to {MAX_RECIPIENTS} mailboxes, has {len(value)}")
    for index, mailbox in enumerate(value):
        try:
            check_mailbox(mailbox)
        except PydanticCustomError as error:
            raise wrong(error.message(), at=str(index)) from None
    return tuple(value)


def _check_only_mailbox(value: str) -> str:
    try:
        return check_mailbox(value)
    except PydanticCustomError:
        if value.count("@") > 1 and ("," in value or ";" in value):
            raise wrong('must be one mailbox, or a list: ["…", "…"]') from None
        raise


def check_required_mailboxes(value: object) -> tuple[str, ...]:
    """Return at least one mailbox."""
    found = check_mailboxes(value)
    if found is None:
        raise wrong("must be a mailbox or a list of mailboxes, not null")
    return found


def check_headers(value: object) -> dict[str, str] | None:
    """Return custom headers none of which could forge or break what Hopmail writes."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise wrong("must be an object of header names and values")
    if len(value) > MAX_HEADERS:
        raise wrong(f"must have at most {MAX_HEADERS} headers, has {len(value)}")
    for name, text in value.items():
        if problem := _header_problem(name, text):
            raise wrong(problem, at=str(name))
    return dict(value)


def _header_problem(name: object, text: object) -> str | None:
    if not isinstance(name, str) or len(name) > MAX_HEADER_NAME or not _header_name.match(name):
        return f"a header name is 1 to {MAX_HEADER_NAME} printable ASCII characters but : and space"
    if _denied_header.search(name):
        return "this header is written by Hopmail; use the field of the contract for it"
    if not isinstance(text, str) or not 1 <= len(text) <= MAX_HEADER_VALUE:
        return f"a header value is a string of 1 to {MAX_HEADER_VALUE} characters"
    if _controls.search(text) or not _is_unicode(text):
        return "must not contain control characters (CR, LF, NUL, …)"
    return None


def _is_unicode(text: str) -> bool:
    return text.encode("utf-8", "replace").decode() == text


def check_instant(value: object) -> datetime | None:
    """Return a moment with its offset (RFC 3339 §5.6)."""
    if value is None:
        return None
    if isinstance(value, datetime):
        if value.tzinfo is None or value.utcoffset() is None:
            raise wrong("must have a time zone: datetime(..., tzinfo=UTC)")
    elif not isinstance(value, str) or not _instant.match(value):
        raise wrong("must be a date and time with offset: 2026-11-24T12:00:00Z")
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value.upper())
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise wrong(
            "must be a date and time that exists, with offset: 2026-11-24T12:00:00Z"
        ) from None


def check_base64(value: object) -> str:
    """Take bytes from Python, and text that is base64 already."""
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode("ascii")
    if not isinstance(value, str):
        raise wrong("must be bytes, or a string in base64")
    if len(value) % 4:
        raise wrong("must be base64 with padding: its length is no multiple of 4")
    return value


MAILBOX_SCHEMA: Final[dict[str, Any]] = {
    "type": "string",
    "description": "one mailbox: addr@domain or Display Name <addr@domain>",
    "maxLength": MAX_MAILBOX_CHARACTERS,
    "format": "idn-email",
    "pattern": MAILBOX_PATTERN,
    **NO_CONTROLS,
}
_LIST_SCHEMA: Final[dict[str, Any]] = {
    "type": "array",
    "minItems": 1,
    "maxItems": MAX_RECIPIENTS,
    "items": MAILBOX_SCHEMA,
}
MAILBOXES_SCHEMA: Final[dict[str, Any]] = {"anyOf": [MAILBOX_SCHEMA, _LIST_SCHEMA]}
OPTIONAL_MAILBOXES_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [MAILBOX_SCHEMA, _LIST_SCHEMA, {"type": "null"}]
}
HEADERS_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [
        {
            "type": "object",
            "maxProperties": MAX_HEADERS,
            "propertyNames": {
                "description": "a header name of printable ASCII without : or space, and none of "
                "those that Hopmail writes itself",
                "minLength": 1,
                "maxLength": MAX_HEADER_NAME,
                "pattern": _HEADER_NAME,
                "not": {"anyOf": [{"pattern": DENIED_HEADER_PATTERN}, {"pattern": r"\n"}]},
            },
            "additionalProperties": {
                "type": "string",
                "description": "a header value without control characters",
                "minLength": 1,
                "maxLength": MAX_HEADER_VALUE,
                **NO_CONTROLS,
            },
        },
        {"type": "null"},
    ]
}
INSTANT_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [
        {
            "type": "string",
            "description": "a date and time with offset: 2026-11-24T12:00:00Z",
            "format": "date-time",
            "pattern": _INSTANT,
            **NO_CONTROLS,
        },
        {"type": "null"},
    ]
}

OneMailbox = Annotated[str, PlainValidator(check_mailbox), WithJsonSchema(MAILBOX_SCHEMA)]
Mailboxes = Annotated[
    str | Sequence[str],
    PlainValidator(check_required_mailboxes),
    WithJsonSchema(MAILBOXES_SCHEMA),
]
OptionalMailboxes = Annotated[
    str | Sequence[str] | None,
    PlainValidator(check_mailboxes),
    WithJsonSchema(OPTIONAL_MAILBOXES_SCHEMA),
]
Headers = Annotated[
    Mapping[str, str] | None, PlainValidator(check_headers), WithJsonSchema(HEADERS_SCHEMA)
]
Instant = Annotated[
    datetime | None,
    PlainValidator(check_instant),
    PlainSerializer(lambda moment: moment and moment.isoformat(), return_type=str | None),
    WithJsonSchema(INSTANT_SCHEMA),
]
Base64Text = Annotated[str, BeforeValidator(check_base64)]
