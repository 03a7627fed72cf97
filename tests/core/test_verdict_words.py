"""Why an outcome has its verdict, in words."""

from datetime import timedelta

import pytest

from consumer.core.disposition import Ack, DeadLetter, Disposition, Pause, Reason, Retry
from consumer.core.outcome import (
    Accepted,
    InDoubt,
    Refused,
    Reply,
    Stage,
    TransactionOutcome,
    Unreachable,
)
from consumer.core.verdict_words import WHY_DEAD, why

LATER = Retry(timedelta(minutes=2), 2)
BUSY = Reply(450, "4.7.1", "Greylisted, try again in 5 minutes")


@pytest.mark.parametrize(
    ("outcome", "disposition", "words"),
    [
        (Accepted(Reply(250)), Ack(), "the relay took the mail"),
        (Unreachable(Stage.CONNECT, "refused"), Pause(), "the relay's own trouble"),
        (Refused(Stage.RCPT, Reply(550)), DeadLetter(Reason.REFUSED), WHY_DEAD[Reason.REFUSED]),
        (InDoubt("lost"), LATER, "it may be sent twice: it comes back after 2m"),
        (Unreachable(Stage.RCPT, "lost"), LATER, "the relay wants a login for this mail, or was"),
        (Unreachable(Stage.MAIL, "lost"), LATER, "the relay was lost before the final dot"),
        (
            Refused(Stage.RCPT, BUSY),
            LATER,
            "2m, the longest there is, though the relay",
        ),
    ],
)
def test_why(outcome: TransactionOutcome, disposition: Disposition, words: str) -> None:
    assert words in why(outcome, disposition)
