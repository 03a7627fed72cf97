"""What a log line says of the message that it is about: how others know it."""

import re
from typing import Final

from consumer.core.delivery import Properties
from publisher_lib.message_id import MESSAGE_ID
from publisher_lib.routing import TRACE_HEADERS

TRACEPARENT: Final = re.compile(r"[0-9a-f-]{1,128}")


def correlation(properties: Properties) -> dict[str, str]:
    """Return `message_id` and `traceparent`, where there are such."""
    traceparent = properties.headers.get(TRACE_HEADERS[0])
    found = {
        "message_id": matching(MESSAGE_ID, properties.message_id),
        "traceparent": matching(TRACEPARENT, traceparent),
    }
    return {name: text for name, text in found.items() if text is not None}


def matching(form: re.Pattern[str], text: object) -> str | None:
    """Return `text` if it has its form: what has not may be anything at all, a body too."""
    return text if isinstance(text, str) and form.fullmatch(text) else None
