"""From what a caller hands in to the message that goes to the broker, or to what is wrong."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pika
from pydantic import ValidationError

from publisher_lib.errors import InvalidEmail
from publisher_lib.message import Email
from publisher_lib.message_id import MESSAGE_ID, MESSAGE_ID_RULE, NO_STRING, new_message_id
from publisher_lib.routing import CONTENT_TYPE, PUBLISHED_AT_MS, TYPE
from publisher_lib.violations import violations

PERSISTENT: Final = 2

TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
TRACEPARENT_RULE: Final = (
    "must be as in W3C Trace Context: 00-<32 hex digits>-<16 hex digits>-<2 hex digits>"
)


@dataclass(frozen=True, slots=True)
class Message:
    """A body and its properties, as the contract wants them."""

    message_id: str
    properties: pika.BasicProperties
    body: bytes


def encode(
    email: Email | Mapping[str, Any],
    *,
    message_id: str | None,
    traceparent: str | None,
    login: str,
    app_id: str | None,
) -> Message:
    """Return the message to publish; `login` is the one the broker knows us by.

    Raises `InvalidEmail`.
    """
    key = new_message_id() if message_id is None else message_id
    if not isinstance(key, str):
        raise InvalidEmail((("properties.message_id", NO_STRING),))
    if not MESSAGE_ID.fullmatch(key):
        raise InvalidEmail((("properties.message_id", MESSAGE_ID_RULE),))
    now_ms = time.time_ns() // 1_000_000
    headers: dict[str, object] = {PUBLISHED_AT_MS: now_ms}
    if traceparent is not None:
        if not isinstance(traceparent, str) or not TRACEPARENT.fullmatch(traceparent):
            raise InvalidEmail((("properties.headers.traceparent", TRACEPARENT_RULE),), key)
        headers["traceparent"] = traceparent
    if isinstance(email, Email) and email.headers:
        # The one part of an email that can be changed after it was checked.
        email = email.model_dump()
    checked = email if isinstance(email, Email) else _checked(email, key)
    properties = pika.BasicProperties(
        message_id=key,
        type=TYPE,
        content_type=CONTENT_TYPE,
        delivery_mode=PERSISTENT,
        timestamp=now_ms // 1000,
        app_id=app_id,
        user_id=login,
        headers=headers,
    )
    return Message(key, properties, checked.to_json())


def _checked(email: Mapping[str, Any], key: str) -> Email:
    try:
        return Email.model_validate(email)
    except ValidationError as error:
        found = violations(error)
    # Raised out here, its context does not hold pydantic's error, which holds the email.
    raise InvalidEmail(found, key)
