"""Which dead letters are sent again, and what is said of the others."""

from dataclasses import replace

from consumer.core.dead_body import BodyState
from consumer.core.dead_letter_choice import Choice
from consumer.core.dead_letter_replay import ReplayPlan
from tests.core.test_dead_letter_choice import LETTER

OTHERS = (
    replace(LETTER, id="in doubt", reason="in_doubt"),
    replace(LETTER, id="a stranger's", is_trusted=False),
    replace(LETTER, id="without body", body=BodyState.REDACTED),
    replace(LETTER, id="a stranger's without body", is_trusted=False, body=BodyState.REDACTED),
)


def planned(choice: Choice, *, believe: bool) -> ReplayPlan:
    plan = ReplayPlan(choice, believe)
    for letter in (LETTER, replace(LETTER, id="wrong", reason="invalid"), *OTHERS):
        plan.add(letter)
    return plan


def test_what_is_left_is_told_with_its_cure() -> None:
    plan = planned(Choice(), believe=False)

    assert plan.total == 2
    assert list(plan.lines()) == [
        "       1 refused",
        "       1 invalid; most likely they come back: see `edit`",
        "       2 not sent again: their bodies were not kept",
        (
            "       1 not sent again: in doubt: the relay may have them; see `resolve`, or say"
            " --reason in_doubt"
        ),
        (
            "       1 not sent again: no login that is trusted signed their headers; name it in"
            " HOPMAIL_OPERATOR_LOGINS, or say --believe"
        ),
    ]
    assert [plan.agreed.take(letter) for letter in (LETTER, *OTHERS)] == [True, *[False] * 4]


def test_named_and_believed_all_go_that_have_a_body() -> None:
    plan = planned(Choice(reasons=frozenset({"in_doubt"})), believe=True)

    assert plan.total == 4
    assert [plan.agreed.take(letter) for letter in OTHERS] == [True, True, False, False]
