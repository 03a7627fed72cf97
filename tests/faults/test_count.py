"""The harness itself: it counts right, and sees each invariant broken."""

from collections import Counter
from typing import Any

import pytest

from tests.faults.attempts import NAME, SECRET, Ends
from tests.faults.count import Count, in_doubt_by_message

A, B, C, D = (("a", "x"), ("b", "x"), ("c", "x"), ("d", "x"))


def count(**changes: Any) -> Count:
    """Return a count in which all is well: a and b accepted, c of unknown outcome, d failed."""
    ends = Ends(
        attempted={name: ("x",) for name, _recipient in (A, B, C, D)},
        confirmed={"a", "b"},
        failed={"d"},
    )
    right: dict[str, Any] = {
        "ends": ends,
        "accepted": Counter([A, B]),
        "dead": {},
        "in_doubt": Counter(),
    }
    return Count(**(right | changes))


def test_what_is_right_breaks_nothing_and_is_counted() -> None:
    found = count(accepted=Counter([A, B, C]))

    found.holds()
    assert found.figures() == {
        "attempted": 4,
        "confirmed": 2,
        "unknown": 1,
        "failed": 1,
        "accepted": 3,
        "dead": 0,
        "lost": 0,
        "duplicated": 0,
        "in_doubt": 0,
        "recovered": 1,
        "unexpected": 0,
    }


@pytest.mark.parametrize(
    ("changes", "invariant"),
    [
        ({"accepted": Counter([A])}, "I1"),
        ({"accepted": Counter([A, B, D])}, "I2"),
        ({"accepted": Counter([A, B, ("e", "x")])}, "I2"),
        ({"accepted": Counter([A, B, ("b", "y")])}, "I2"),
        ({"accepted": Counter([A, A, B])}, "I3"),
        ({"accepted": Counter([A, A, B]), "in_doubt": Counter("b")}, "I3"),
        ({"accepted": Counter([A, A, A, B]), "in_doubt": Counter("a")}, "I3"),
        ({"accepted": Counter([A, A, A, B]), "duplicates_allowed": 1}, "I3"),
        ({"left": {"email.bulk.v1": 1}}, "I4"),
        ({"dead": {A: "refused"}}, "I5"),
        ({"logs": ["406 PRECONDITION_FAILED - unknown delivery tag 7"]}, "I6"),
        ({"logs": [f"text {SECRET}"]}, "I7"),
        ({"logs": [f"to {NAME}.m-1.0@example.org"]}, "I7"),
    ],
)
def test_a_broken_invariant_is_named(changes: dict[str, Any], invariant: str) -> None:
    found = count(**changes)

    assert [sentence[:2] for sentence in found.broken] == [invariant]
    with pytest.raises(AssertionError, match=invariant):
        found.holds()


@pytest.mark.parametrize(
    "changes",
    [
        {"accepted": Counter([A, A, B]), "in_doubt": Counter("a")},
        {"accepted": Counter([A, A, B]), "duplicates_allowed": 1},
        {"accepted": Counter([A]), "dead": {B: "refused"}},
        {"dead": {A: "in_doubt"}},
        {"left": {"email.bulk.v1": 0}},
    ],
)
def test_what_the_promise_leaves_open_breaks_nothing(changes: dict[str, Any]) -> None:
    count(**changes).holds()


def test_doubts_are_counted_by_recipient_from_the_log() -> None:
    lines: list[dict[str, Any]] = [
        {"event": "consuming"},
        {"event": "handled", "message_id": "a", "outcome": "in_doubt", "recipients": 2},
        {"event": "handled", "message_id": "a", "outcome": "accepted", "recipients": 1},
        {
            "event": "handled",
            "message_id": "b",
            "outcome": "in_doubt",
            "recipients": 3,
            "verdicts": [
                {"outcome": "accepted", "recipients": 2},
                {"outcome": "in_doubt", "recipients": 1},
            ],
        },
    ]

    assert in_doubt_by_message(lines) == {"a": 2, "b": 1}
