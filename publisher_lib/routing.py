"""The names both sides of the broker agree on: exchanges, lanes, properties, headers."""

from enum import StrEnum
from typing import Final, NoReturn

EXCHANGE: Final = "email"
RETRY_EXCHANGE: Final = "email.retry"
DEAD_EXCHANGE: Final = "email.dead"

TYPE: Final = "email.v1"
CONTENT_TYPE: Final = "application/json"

PUBLISHED_AT_MS: Final = "x-published-at-ms"
"""When `publish` was called, in Unix milliseconds: AMQP's `timestamp` has whole seconds."""

TRACE_HEADERS: Final = ("traceparent", "tracestate")
"""W3C Trace Context, passed through to the log and to every follow-up."""


class Lane(StrEnum):
    """A routing key of the exchange `email`; each lane has a queue of its own."""

    TRANSACTIONAL = "transactional"
    BULK = "bulk"

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise ValueError(f"there is no lane {value!r}: use {' or '.join(cls)}")
