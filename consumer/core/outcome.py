"""What happened to a delivery: facts, not yet a verdict."""

from datetime import datetime, timedelta
from enum import IntEnum, StrEnum

from consumer.core.record import record


class Stage(IntEnum):
    """How far a conversation with the relay got (RFC 5321 §3), in its order."""

    CONNECT = 1
    GREETING = 2
    EHLO = 3
    STARTTLS = 4
    AUTH = 5
    MAIL = 6
    RCPT = 7
    DATA = 8
    END_OF_DATA = 9

    @property
    def is_before_mail(self) -> bool:
        """Whether the relay had not yet been told of any message."""
        return self < Stage.MAIL


@record
class Reply:
    """An SMTP reply (RFC 5321 §4.2): its code, enhanced code (RFC 3463; may be empty), text."""

    code: int
    enhanced: str = ""
    text: str = ""

    @property
    def is_positive(self) -> bool:
        """Whether the command did what it should: 2yz."""
        return self.code // 100 == 2  # noqa: PLR2004 - the first digit says it all

    @property
    def is_permanent(self) -> bool:
        """Whether trying the same again is pointless: 5yz."""
        return self.code // 100 == 5  # noqa: PLR2004 - as above

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)


class Defect(StrEnum):
    """Why a delivery cannot be read as an email."""

    INVALID = "invalid"
    INVALID_JSON = "invalid_json"
    TOO_LARGE = "too_large"
    MISSING_MESSAGE_ID = "missing_message_id"
    UNSUPPORTED_TYPE = "unsupported_type"
    UNSUPPORTED_CONTENT = "unsupported_content"
    UNDECODABLE_PROPERTIES = "undecodable_properties"
    UNTRUSTED_HEADERS = "untrusted_headers"


@record
class Violation:
    """One breach of the contract: where (an RFC 6901 pointer, or a property) and what."""

    pointer: str
    message: str


@record
class Undecodable:
    """The delivery is not an email of the contract."""

    defect: Defect
    violations: tuple[Violation, ...] = ()


class Breach(StrEnum):
    """How a mail breaks the sender policy."""

    UNAUTHENTICATED = "unauthenticated"
    SENDER_NOT_ALLOWED = "sender_not_allowed"


@record
class Unauthorized:
    """The sender policy does not let this login, or nobody without one, send as this sender."""

    breach: Breach
    violation: Violation


@record
class Crashed:
    """Our own code raised before the relay was told of it: a bug, and the message is kept."""

    detail: str


@record
class NotDue:
    """`send_at` lies ahead."""

    remaining: timedelta


@record
class Expired:
    """`expires_at` has passed: the email must not be sent any more."""

    expired_at: datetime


@record
class Duplicate:
    """Another copy of this message settled it: nothing is left to do. `detail` says how."""

    detail: str


@record
class Conflict:
    """The ledger knows another message with this login and message id."""


@record
class Forgotten:
    """Published longer ago than the ledger remembers: it may have been sent."""

    retention: timedelta


@record
class Poisonous:
    """So many processes ended while they had it in hands."""

    deaths: int


@record
class Barred:
    """A recipient that is not among those who alone may get mail from here."""


@record
class Accepted:
    """The relay answered the end of data with 2yz for this recipient."""

    reply: Reply


@record
class Refused:
    """The relay answered `stage` with 4yz or 5yz. Surely not accepted."""

    stage: Stage
    reply: Reply


@record
class Unreachable:
    """No conversation, or one that ended before the final dot. Surely not accepted.

    Before MAIL it is the relay's trouble and says nothing about the message.
    """

    stage: Stage
    detail: str
    reply: Reply | None = None


@record
class InDoubt:
    """The final dot was handed to the kernel and no complete reply came (RFC 5321 §6.1)."""

    detail: str


TransactionOutcome = Accepted | Refused | Unreachable | InDoubt
Outcome = (
    Undecodable
    | Unauthorized
    | Crashed
    | NotDue
    | Expired
    | Duplicate
    | Conflict
    | Forgotten
    | Poisonous
    | Barred
    | TransactionOutcome
)
