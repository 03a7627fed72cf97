"""Where mail goes on a machine that must not reach everybody: staging, a copy of production. Pure.

docs/decisions/0015-recipients-on-staging.md says why so.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from consumer.core.answer import Answer
from consumer.core.envelope import Composed
from consumer.core.headers import unstructured
from consumer.core.outcome import Accepted, InDoubt, Refused, Reply, TransactionOutcome
from consumer.core.record import record
from publisher_lib.mailbox import parse_mailbox
from publisher_lib.message import Email

DIVERTED_FROM: Final = "X-Hopmail-Diverted-From"

UNDISCLOSED: Final = "undisclosed-recipients:;"
"""An empty group (RFC 5322 §3.4), where naming them would tell others of a blind copy."""

MARK: Final = "(diverted)"


@record
class Diversion:
    """Who may get mail, and who gets that of all others.

    `allowed` holds domains and addresses; None: nobody. Without `to` the others' mail is not sent.
    """

    to: str | None
    allowed: frozenset[str] | None

    @property
    def caution(self) -> str:
        """What nobody may forget in production. It holds no address: it goes into the log."""
        if self.allowed is None:
            return "HOPMAIL_DIVERT_TO is set: no mail reaches its recipients, all of it goes there"
        fate = "goes to HOPMAIL_DIVERT_TO" if self.to else "becomes a dead letter"
        return (
            "HOPMAIL_ALLOWED_RECIPIENT_DOMAINS is set: mail for anybody else does not reach them,"
            f" but {fate}"
        )

    def allows(self, address: str) -> bool:
        """Whether a recipient gets its mail itself."""
        allowed = self.allowed or ()
        return address == self.to or address in allowed or address.rpartition("@")[2] in allowed

    def barred(self, recipients: Iterable[str]) -> tuple[str, ...]:
        """Return those whose mail is sent to nobody."""
        if self.to is not None:
            return ()
        return tuple(address for address in recipients if not self.allows(address))

    def divert(self, composed: Composed, email: Email) -> Composed:
        """Return the mail with another envelope, and a header that says whom it is diverted from.

        The other headers stay, To and Cc with them. None of its recipients may be barred.
        """
        meant: dict[str, tuple[str, ...]] = {}
        strangers = []
        for address in composed.envelope.recipients:
            if self.to is None or self.allows(address):
                meant[address] = (*meant.get(address, ()), address)
            else:
                meant[self.to] = (*meant.get(self.to, ()), address)
                strangers.append(address)
        if not strangers:
            return composed
        if len(meant) > 1:
            disclosed = {mailbox.address for mailbox in (*email.to, *email.copies)}
            strangers = [address for address in strangers if address in disclosed]
        field = unstructured(DIVERTED_FROM, ", ".join(strangers) or UNDISCLOSED)
        return Composed(
            replace(composed.envelope, recipients=tuple(meant)),
            b"%s\r\n%s" % (field.encode(), composed.content),
            meant,
        )


def answer_of_originals(composed: Composed, answer: Answer) -> Answer:
    """Return the answer for those that the mail was meant for."""
    if composed.stands_for is None:
        return answer
    return tuple(
        (original, outcome if original == name else _marked(outcome))
        for name, outcome in answer
        for original in composed.stands_for[name]
    )


def read_allowed(text: str) -> frozenset[str] | None:
    """Read domains and addresses, comma-separated; None where there is nothing at all.

    Raises ValueError.
    """
    if not text.strip():
        return None
    return frozenset(map(_read_allowed, text.split(",")))


def _read_allowed(given: str) -> str:
    text = given.strip()
    try:
        mailbox = parse_mailbox(text if "@" in text else f"x@{text}")
    except ValueError:
        mailbox = None
    if mailbox is None or mailbox.name or "<" in text:
        raise ValueError(
            "must be domains and addresses, comma-separated: example.org,qa@example.com"
        )
    return mailbox.address if "@" in text else mailbox.domain


def read_address(text: str) -> str | None:
    """Read an address; None where there is none. Raises ValueError."""
    if not text.strip():
        return None
    try:
        return parse_mailbox(text.strip()).address
    except ValueError:
        raise ValueError("must be one address: qa@example.org") from None


def _marked(outcome: TransactionOutcome) -> TransactionOutcome:
    """Have log, ledger and dead letters say that the relay spoke of another address."""
    match outcome:
        case Accepted(reply=reply):
            return Accepted(_marked_reply(reply))
        case Refused(stage=stage, reply=reply):
            return Refused(stage, _marked_reply(reply))
        case InDoubt(detail=detail):
            return InDoubt(f"{MARK} {detail}")
        case _:
            return outcome


def _marked_reply(reply: Reply) -> Reply:
    return replace(reply, text=f"{MARK} {reply.text}".rstrip())
