"""One mail handed to a server, as the consumer does it."""

from collections.abc import Callable

from consumer.core.envelope import Envelope
from consumer.core.outcome import TransactionOutcome
from consumer.core.relay_url import RelayURL
from consumer.smtp.relay import Relay

ANN, BOB, EVE = "ann@example.org", "bob@example.org", "eve@example.org"
SENDER = "app@example.org"
ENVELOPE = Envelope(SENDER, (ANN, BOB))
CONTENT = b"Subject: hi\r\n\r\nhello\r\n"


def yes() -> bool:
    """Let the dot go."""
    return True


def transact(
    url: str,
    envelope: Envelope = ENVELOPE,
    content: bytes = CONTENT,
    before_dot: Callable[[], bool] = yes,
) -> dict[str, TransactionOutcome]:
    """Hand over one mail in a session of its own; return the outcome by recipient."""
    transactor = Relay(RelayURL.parse(url)).transactor()
    try:
        return dict(transactor.transact(envelope, content, before_dot))
    finally:
        transactor.close()
