"""What the relays have said to one mail so far, and whom the next may be asked for. Pure."""

from dataclasses import replace
from typing import Final

from consumer.core.answer import Answer, answer_for_all
from consumer.core.envelope import Envelope
from consumer.core.outcome import Refused, Stage, TransactionOutcome, Unreachable

BUSY: Final = Unreachable(Stage.CONNECT, "no relay has a session or a token to spare")


class Passing:
    """One mail on its way past `relays` of them.

    A relay that was told of the mail has the say about it before one that could not be asked.
    """

    def __init__(self, envelope: Envelope, relays: int) -> None:
        self.envelope = envelope
        """Of the next transaction: its recipients are those still owed an answer."""
        self._recipients = envelope.recipients
        self._relays = relays
        self._said: dict[str, TransactionOutcome] = {}
        self._lacks: list[Refused] = []
        self._trouble: Unreachable | None = None

    @property
    def is_over(self) -> bool:
        """Whether there is nobody left for whom another relay may be asked."""
        return not self.envelope.recipients

    @property
    def blames_the_last(self) -> bool:
        """Whether the answer would be the trouble of the relay that was asked last."""
        return self._trouble is not None and not self._said and not self._lacks

    def lacks(self, refused: Refused) -> None:
        """Note that a relay cannot take such a mail, and what it would have said."""
        self._lacks.append(refused)

    def answered(self, answer: Answer) -> Unreachable | None:
        """Note a relay's answer; return its trouble, where that is all that it says."""
        first = answer[0][1]
        if isinstance(first, Unreachable) and first.stage.is_before_mail:
            self._trouble = first
            return first
        self._said |= dict(answer)
        lost = tuple(recipient for recipient, outcome in answer if _is_lost(outcome))
        self.envelope = replace(self.envelope, recipients=lost)
        return None

    def answer(self) -> Answer:
        """Return what became of each recipient, now that no other relay is asked."""
        if self._said:
            return tuple((recipient, self._said[recipient]) for recipient in self._recipients)
        if len(self._lacks) == self._relays:
            return answer_for_all(self._recipients, self._lacks[0])
        if self._lacks:
            # Not for good: one of those that could not be asked may take it.
            text = f"{self._lacks[0].reply.text}; another may take it, but cannot be asked now"
            return answer_for_all(self._recipients, Unreachable(Stage.MAIL, text))
        return answer_for_all(self._recipients, self._trouble or BUSY)


def _is_lost(outcome: TransactionOutcome) -> bool:
    """Whether the connection ended before the final dot, without a word about the recipient."""
    return isinstance(outcome, Unreachable) and outcome.reply is None
