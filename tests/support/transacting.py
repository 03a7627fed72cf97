"""One mail handed to a server, as the consumer does it."""

from consumer.core.answer import answer_for_all
from consumer.core.envelope import Envelope
from consumer.core.outcome import TransactionOutcome
from consumer.core.relay_url import RelayURL
from consumer.smtp.commands import Lacking
from consumer.smtp.relay import Relay
from consumer.smtp.session import BeforeDot

ANN, BOB, EVE = "ann@example.org", "bob@example.org", "eve@example.org"
SENDER = "app@example.org"
ENVELOPE = Envelope(SENDER, (ANN, BOB))
CONTENT = b"Subject: hi\r\n\r\nhello\r\n"


def yes(_recipients: tuple[str, ...]) -> bool:
    """Let the dot go."""
    return True


def transact(
    url: str,
    envelope: Envelope = ENVELOPE,
    content: bytes = CONTENT,
    before_dot: BeforeDot = yes,
) -> dict[str, TransactionOutcome]:
    """Hand over one mail in a session of its own; return the outcome by recipient."""
    transactor = Relay(RelayURL.parse(url)).transactor()
    try:
        return dict(transactor.transact(envelope, content, before_dot))
    except Lacking as lacking:
        return dict(answer_for_all(envelope.recipients, lacking.refused))
    finally:
        transactor.close()
