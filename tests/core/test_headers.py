"""Header fields: where they fold, and when they are encoded."""

from consumer.core.headers import LONGEST_LINE, PREFERRED_LINE, unstructured


def test_a_long_ascii_value_is_folded_before_its_words() -> None:
    value = "word " * 40 + "end"

    lines = unstructured("Subject", value).split("\r\n")

    assert len(lines) > 1
    assert all(len(line) <= PREFERRED_LINE for line in lines)
    assert all(line.startswith(" ") for line in lines[1:])
    assert "".join(lines) == f"Subject: {value}"


def test_a_value_that_cannot_be_folded_stays_on_one_line_while_that_is_allowed() -> None:
    value = "x" * (LONGEST_LINE - len("Subject: "))

    assert unstructured("Subject", value) == f"Subject: {value}"


def test_a_value_too_long_for_any_line_is_encoded() -> None:
    lines = unstructured("Subject", "x" * (LONGEST_LINE + 1)).split("\r\n ")

    assert all(line.removeprefix("Subject: ").startswith("=?utf-8?q?") for line in lines)
    assert max(map(len, lines)) <= PREFERRED_LINE


def test_what_looks_like_an_encoded_word_is_encoded_itself() -> None:
    assert unstructured("Subject", "=?x?=") == "Subject: =?utf-8?b?PT94Pz0=?="
