"""What a transaction answers: an outcome for each recipient."""

from consumer.core.outcome import TransactionOutcome

Answer = tuple[tuple[str, TransactionOutcome], ...]
"""Each recipient and what became of it, in the envelope's order."""


class Outcomes:
    """An answer in the making: the first outcome that a recipient is given stands."""

    __slots__ = ("_given", "_recipients")

    def __init__(self, recipients: tuple[str, ...]) -> None:
        self._recipients = recipients
        self._given: dict[int, TransactionOutcome] = {}

    @property
    def are_complete(self) -> bool:
        """Whether every recipient has its outcome."""
        return len(self._given) == len(self._recipients)

    @property
    def owed(self) -> tuple[str, ...]:
        """The recipients without an outcome, in their order."""
        return tuple(name for i, name in enumerate(self._recipients) if i not in self._given)

    def give(self, index: int, outcome: TransactionOutcome) -> None:
        """Give one recipient its outcome, unless it has one."""
        self._given.setdefault(index, outcome)

    def give_rest(self, outcome: TransactionOutcome) -> None:
        """Give `outcome` to all that have none yet."""
        for index in range(len(self._recipients)):
            self._given.setdefault(index, outcome)

    def answer(self) -> Answer:
        """Return the complete answer. Raises KeyError while it is not: none may be left out."""
        return tuple((name, self._given[i]) for i, name in enumerate(self._recipients))


def answer_for_all(recipients: tuple[str, ...], outcome: TransactionOutcome) -> Answer:
    """Return the answer in which every recipient has the same outcome."""
    return tuple((recipient, outcome) for recipient in recipients)
