"""One relay's part in what became of a mail."""

from typing import Final

from consumer.core.answer import Answer
from consumer.core.outcome import Accepted, InDoubt, Refused, TransactionOutcome, Unreachable
from consumer.core.record import record

TRANSACTION_OUTCOMES: Final = {
    Accepted: "accepted",
    Refused: "refused",
    Unreachable: "unreachable",
    InDoubt: "in_doubt",
}
"""From the least to the most that is amiss."""

SEVERITY: Final = {kind: rank for rank, kind in enumerate(TRANSACTION_OUTCOMES)}


@record
class Transaction:
    """A relay that was asked, by host and port, and the worst outcome of the recipients.

    `seconds` are those from MAIL to the last answer; None where it did not come to MAIL.
    """

    relay: str
    outcome: TransactionOutcome
    seconds: float | None

    @property
    def word(self) -> str:
        """The outcome's name."""
        return TRANSACTION_OUTCOMES[type(self.outcome)]


def worst_of(answer: Answer) -> TransactionOutcome:
    """Return the outcome that a transaction counts under, where recipients fared differently."""
    if len(answer) == 1:
        return answer[0][1]
    return max((outcome for _name, outcome in answer), key=lambda outcome: SEVERITY[type(outcome)])


def answering(transactions: tuple[Transaction, ...]) -> str | None:
    """Return the relay that the verdicts are from: the last one that was told of the mail.

    Where none was, the last that was asked; None where none was.
    """
    told = [each for each in transactions if each.seconds is not None]
    last = (told or transactions)[-1:]
    return last[0].relay if last else None
