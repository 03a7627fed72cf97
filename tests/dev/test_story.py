from typing import Any

from dev.cases import ACCEPTED, DEAD, Case
from dev.dead_letters import DeadLetter
from dev.story import Story, differences, tell
from dev.terminal import width


def case(title: str, fate: str = ACCEPTED, attempts: int = 1) -> Case:
    return Case(title, lambda _publisher, _url: "", fate, attempts)


def line(attempt: int = 1, **fields: Any) -> dict[str, Any]:
    return {"event": "handled", "attempt": attempt, **fields}


def dead_letter(reason: str, **detail: Any) -> DeadLetter:
    return DeadLetter("m1", reason, detail, {}, b"{}")


def test_an_accepted_message_is_told_with_its_time() -> None:
    story = Story(case("Hello"), mails=1, handled=[line(latency_seconds=0.031)])

    assert story.is_as_expected
    assert list(tell([story]))[1].split() == ["Hello", "accepted", "1", "31", "ms"]


def test_columns_stand_below_each_other_where_characters_are_wide() -> None:
    stories = [
        Story(case("to 山田 花子"), mails=1),
        Story(case("to Zoë A\N{COMBINING RING ABOVE}"), mails=1),
    ]

    starts = [width(text[: text.index("accepted")]) for text in list(tell(stories))[1:]]

    assert starts[0] == starts[1]


def test_a_dead_letter_is_told_in_the_relays_words() -> None:
    letter = dead_letter(
        "refused", stage="RCPT", code=550, enhanced="5.1.1", text="No such mailbox"
    )
    story = Story(case("Hello", DEAD), dead_letter=letter, handled=[line()])

    assert story.is_as_expected
    assert "    detail   RCPT 550 5.1.1 No such mailbox" in tell([story])


def test_a_breach_of_the_contract_is_told_by_pointer_and_sentence() -> None:
    violations = [
        {"pointer": "/subject", "message": "is required"},
        {"pointer": "", "message": "must be an object"},
    ]
    story = Story(case("Hello", DEAD), dead_letter=dead_letter("invalid", violations=violations))

    assert list(tell([story]))[-2:] == [
        "    detail   /subject is required",
        "             the body must be an object",
    ]


def test_every_other_end_is_a_difference() -> None:
    letter = dead_letter("refused")
    stories = [
        Story(case("lost"), handled=[line()]),
        Story(case("twice"), mails=2, handled=[line()]),
        Story(case("sent and dead"), mails=1, dead_letter=letter, handled=[line()]),
        Story(case("sent, not dead", DEAD), mails=1, handled=[line()]),
        Story(case("not retried", attempts=2), mails=1, handled=[line()]),
        Story(case("as it should be", attempts=2), mails=1, handled=[line(), line(2)]),
    ]

    assert [text.partition(":")[0] for text in differences(stories)] == [
        "lost",
        "twice",
        "sent and dead",
        "sent, not dead",
        "not retried",
    ]
