"""Which login may send as whom."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from string import ascii_lowercase, ascii_uppercase
from typing import Final

from consumer.core.outcome import Breach, Unauthorized, Violation
from consumer.core.record import record
from publisher_lib.mailbox import Mailbox, parse_mailbox

ANY: Final = "*"
NO_LOGIN: Final = ""
SMALL: Final = str.maketrans(ascii_uppercase, ascii_lowercase)
SENDERS: Final = 'addresses ("no-reply@shop.example"), domains ("@shop.example") or "*"'


@record
class SenderPolicy:
    """For each login the senders it may use: addresses, `@domain`s, or `*`; domains in ASCII.

    A mail without a login (AMQP's `user_id`, which RabbitMQ checked) may be sent where the policy
    has senders for the empty login.
    """

    senders: Mapping[str, AbstractSet[str]]

    @classmethod
    def of(cls, table: Mapping[str, object]) -> "SenderPolicy":
        """Read a table of lists of senders. Raises ValueError, which says what is accepted."""
        if not table:
            raise ValueError('names no login; expected: shop = ["@shop.example"], a line each')
        return cls({login: _read(login, senders) for login, senders in table.items()})

    def breach(self, login: str | None, sender: Mailbox) -> Unauthorized | None:
        """Return what forbids this login to send as `sender`; None when it may."""
        allowed = self.senders.get(login or NO_LOGIN)
        if allowed is None and not login:
            message = "is missing: with a sender policy an app must say its login"
            return Unauthorized(Breach.UNAUTHENTICATED, Violation("properties.user_id", message))
        if allowed and not allowed.isdisjoint((ANY, f"@{sender.domain}", _folded(sender))):
            return None
        whose = f"of the login {login}" if login else "without a login"
        message = f"must be a sender that HOPMAIL_SENDER_POLICY has for mail {whose}"
        return Unauthorized(Breach.SENDER_NOT_ALLOWED, Violation("/email_from", message))


def _read(login: str, senders: object) -> frozenset[str]:
    if not isinstance(senders, list) or not all(isinstance(each, str) for each in senders):
        raise ValueError(f"{login!r} must have a list of {SENDERS}")
    return frozenset(_pattern(login, each) for each in senders)


def _pattern(login: str, sender: str) -> str:
    if sender == ANY:
        return ANY
    try:
        found = parse_mailbox(f"any{sender}" if sender.startswith("@") else sender)
    except ValueError as error:
        raise ValueError(f"a sender of {login!r} {error}") from None
    if found.name:
        raise ValueError(f"a sender of {login!r} must have no display name; expected {SENDERS}")
    return f"@{found.domain}" if sender.startswith("@") else _folded(found)


def _folded(sender: Mailbox) -> str:
    """Return an address for comparison: relays and people take no heed of its case.

    Of ASCII's alone: a Kelvin sign would become a k, which is another mailbox.
    """
    return sender.address.translate(SMALL)
