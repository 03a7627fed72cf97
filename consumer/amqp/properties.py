"""AMQP properties, read into ours and written for the copies that follow."""

from datetime import datetime
from typing import Any, Final

import pika

from consumer.core.delivery import Delivery, Properties
from consumer.core.handled import Followup
from publisher_lib.routing import CONTENT_TYPE

PERSISTENT: Final = 2
MAX_REPLACED: Final = 255 // 3
"""Characters that fit a short string again: U+FFFD has three octets."""


def read_properties(found: Any) -> Properties:
    """Return what pika read, with text where it left octets."""
    return Properties(
        message_id=_text(found.message_id),
        type=_text(found.type),
        content_type=_text(found.content_type),
        content_encoding=_text(found.content_encoding),
        app_id=_text(found.app_id),
        user_id=_text(found.user_id),
        timestamp_seconds=_seconds(found.timestamp),
        headers=found.headers or {},
        undecodable=found.undecodable,
    )


def _text(value: str | bytes | None) -> str | None:
    """Read a short string; pika leaves what is not UTF-8 as bytes.

    U+FFFD takes their place: an escape would be ASCII, and another message's key may read so.
    """
    if isinstance(value, bytes):
        return value.decode("ascii", "replace")[:MAX_REPLACED]
    return value


def _seconds(value: object) -> int | None:
    if isinstance(value, datetime):
        return int(value.timestamp())
    return value if isinstance(value, int) else None


def copy_properties(delivery: Delivery, followup: Followup, login: str) -> object:
    """Return the properties of a copy; `login` signs it, so that its headers are believed."""
    original = delivery.properties
    return pika.BasicProperties(
        content_type=original.content_type or CONTENT_TYPE,
        content_encoding=original.content_encoding,
        delivery_mode=PERSISTENT,
        headers=dict(followup.headers),
        message_id=original.message_id,
        timestamp=original.timestamp_seconds,
        type=original.type,
        app_id=original.app_id,
        user_id=login if followup.is_signed else None,
    )
