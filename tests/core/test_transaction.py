"""Which outcome a transaction counts under, and which relay the verdicts are from."""

import pytest

from consumer.core.outcome import (
    Accepted,
    InDoubt,
    Refused,
    Reply,
    Stage,
    TransactionOutcome,
    Unreachable,
)
from consumer.core.transaction import Transaction, answering, worst_of

TAKEN = Accepted(Reply(250))
NEVER = Refused(Stage.RCPT, Reply(550))
LOST = Unreachable(Stage.DATA, "lost")
DOWN = Unreachable(Stage.CONNECT, "down")
NOBODY_KNOWS = InDoubt("lost")


@pytest.mark.parametrize(
    ("outcomes", "worst", "word"),
    [
        ([TAKEN], TAKEN, "accepted"),
        ([TAKEN, NEVER], NEVER, "refused"),
        ([NEVER, LOST, TAKEN], LOST, "unreachable"),
        ([NOBODY_KNOWS, NEVER], NOBODY_KNOWS, "in_doubt"),
    ],
)
def test_a_transaction_counts_under_the_worst(
    outcomes: list[TransactionOutcome], worst: TransactionOutcome, word: str
) -> None:
    answer = tuple((f"r{number}@example.org", each) for number, each in enumerate(outcomes))

    assert worst_of(answer) == worst
    assert Transaction("a:25", worst_of(answer), 0.1).word == word


@pytest.mark.parametrize(
    ("transactions", "relay"),
    [
        ((), None),
        ((Transaction("a:25", TAKEN, 0.1),), "a:25"),
        ((Transaction("a:25", DOWN, None), Transaction("b:25", TAKEN, 0.1)), "b:25"),
        ((Transaction("a:25", LOST, 0.1), Transaction("b:25", DOWN, None)), "a:25"),
        ((Transaction("a:25", DOWN, None), Transaction("b:25", DOWN, None)), "b:25"),
    ],
)
def test_the_verdicts_are_from_the_last_relay_that_was_told_of_the_mail(
    transactions: tuple[Transaction, ...], relay: str | None
) -> None:
    assert answering(transactions) == relay
