"""What is to become of a delivery: the verdict that `settle` carries out."""

from datetime import timedelta
from enum import StrEnum

from consumer.core.record import record


class Reason(StrEnum):
    """Why a message lies in the dead-letter queue. A closed set: it labels metrics."""

    INVALID = "invalid"
    INVALID_JSON = "invalid_json"
    TOO_LARGE = "too_large"
    MISSING_MESSAGE_ID = "missing_message_id"
    UNSUPPORTED_TYPE = "unsupported_type"
    UNSUPPORTED_CONTENT = "unsupported_content"
    UNDECODABLE_PROPERTIES = "undecodable_properties"
    UNTRUSTED_HEADERS = "untrusted_headers"
    EXPIRED = "expired"
    REFUSED = "refused"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    TOO_OLD = "too_old"
    IN_DOUBT = "in_doubt"
    INTERNAL_ERROR = "internal_error"
    CONFLICT = "conflict"
    POISON = "poison"
    RECIPIENT_NOT_ALLOWED = "recipient_not_allowed"
    UNAUTHENTICATED = "unauthenticated"
    SENDER_NOT_ALLOWED = "sender_not_allowed"


@record
class Ack:
    """Done: the relay has it."""


@record
class Retry:
    """Back into the lane after `delay`, as attempt number `attempt` (from 1)."""

    delay: timedelta
    attempt: int


@record
class DeadLetter:
    """Into the dead-letter queue, for a person."""

    reason: Reason


@record
class Pause:
    """The relay is in trouble: keep the delivery, open the breaker, spend no attempt."""


Disposition = Ack | Retry | DeadLetter | Pause
