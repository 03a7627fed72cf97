"""The key of one email: the same each time it is published, another for each other email."""

import os
import re
import time
import uuid
from typing import Final

MESSAGE_ID: Final = re.compile(r"[\x21-\x7e]{1,200}")
MESSAGE_ID_RULE: Final = "must be 1 to 200 printable ASCII characters without spaces"
NO_STRING: Final = "must be a string; str(…) makes one of a number or UUID"

_VERSION: Final = 7 << 76
_VARIANT: Final = 0b10 << 62
_RANDOM_BITS: Final = (1 << 76) - 1 & ~(0b11 << 62)


def new_message_id() -> str:
    """Return a UUIDv7 (RFC 9562 §5.7): ordered by its millisecond, random beyond it."""
    now_ms = time.time_ns() // 1_000_000
    random_bits = int.from_bytes(os.urandom(10)) & _RANDOM_BITS
    return str(uuid.UUID(int=now_ms << 80 | _VERSION | _VARIANT | random_bits))
