"""What a relay is to those who hand mails over to it: an SMTP server's, or a folder's."""

from typing import Protocol

from consumer.core.answer import Answer
from consumer.core.envelope import Envelope
from consumer.smtp.probe import Report
from consumer.smtp.session import Ahead, BeforeDot


class AnyTransactor(Protocol):
    """Transactions one after the other."""

    @property
    def transaction_seconds(self) -> float | None:
        """How long the last one took; None where it did not come to MAIL."""

    @property
    def is_open(self) -> bool:
        """Whether it has a session."""

    @property
    def is_told(self) -> bool:
        """Whether the relay knows the envelope of a mail that has not come yet."""

    @property
    def is_spent(self) -> bool:
        """Whether it has a session that is not worth keeping."""

    def transact(
        self,
        envelope: Envelope,
        content: bytes,
        before_dot: BeforeDot,
        ahead: Ahead | None = None,
    ) -> Answer:
        """Hand one mail over. Raises GivenBack, or Lacking; surely not sent, both times."""

    def close(self) -> None:
        """Leave the relay."""

    def drop(self) -> None:
        """Leave it without a word."""


class AnyRelay(Protocol):
    """One relay, shared by all threads."""

    def transactor(self) -> AnyTransactor:
        """Return a transactor; each thread needs its own."""

    def probe(self) -> Report:
        """Find out, step by step, whether it would take mail."""
