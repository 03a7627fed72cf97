"""What the relay is told about a mail before its content (RFC 5321 §2.3.1)."""

from collections.abc import Mapping

from consumer.core.record import record


@record
class Envelope:
    """Sender and recipients as bare addresses, domains in their ASCII (IDNA) form.

    No relay is told the `message_id`: it names the mail for those who keep it.
    """

    sender: str
    recipients: tuple[str, ...]
    message_id: str = ""

    @property
    def needs_smtputf8(self) -> bool:
        """Whether a mailbox name is beyond ASCII (RFC 6531)."""
        return not (self.sender.isascii() and all(map(str.isascii, self.recipients)))


@record
class Composed:
    """A mail ready for the relay: `content` is RFC 5322, CRLF line ends, not dot-stuffed."""

    envelope: Envelope
    content: bytes
    stands_for: Mapping[str, tuple[str, ...]] | None = None
    """Of a diverted mail: for each recipient of the envelope, those that it was meant for."""

    def originals(self, recipients: tuple[str, ...]) -> tuple[str, ...]:
        """Return whom the mail to these recipients of the envelope was meant for."""
        if self.stands_for is None:
            return recipients
        return tuple(name for recipient in recipients for name in self.stands_for[recipient])
