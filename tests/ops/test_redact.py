"""An outline tells which fields there were and how long, and nothing of what they said."""

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.contract import MAX_BODY_BYTES, parse_valid
from consumer.core.dead_body import BodyState, state_of
from consumer.ops.redact import LONGEST_OUTLINE, hushed, nameless, outline
from tests.support.hostile_bodies import CANARY, HostileBodies
from tests.support.strategies import emails

JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
KNOWN = ("email_to", "email_from", "subject", "message", "headers", "attachments", "text", "cc")
SECRET = st.just(CANARY) | st.just(f"https://example.org/{CANARY}") | st.just(f"{CANARY}@@x")


def outlined(value: object) -> Any:
    return json.loads(outline(json.dumps(value).encode()))["fields"]


def test_it_has_the_shape_of_the_email() -> None:
    email = {
        "email_to": ["ada@example.org", "Bob Token <bob@example.org>", "no mailbox"],
        "email_from": "app@example.com",
        "subject": "Your code",
        "message": {"text": "Code 123456", "html": "<b>123456</b>"},
        "attachments": [{"filename": "a.pdf", "content_type": "text/plain", "content": "QQ=="}],
        "headers": {"X-Token": "123456", "X-Other": ""},
        "if_uncertain": None,
        "count": 3,
        "message_of_mine": True,
    }

    assert json.loads(outline(json.dumps(email).encode())) == {
        "x-hopmail-body": "redacted",
        "bytes": len(json.dumps(email)),
        "fields": {
            "email_to": ["a***@example.org", "b***@example.org", "10 characters"],
            "email_from": "a***@example.com",
            "subject": "9 characters",
            "message": {"text": "11 characters", "html": "13 characters"},
            "attachments": [
                {
                    "filename": "5 characters",
                    "content_type": "10 characters",
                    "content": "4 characters",
                }
            ],
            "headers": {"…": "2 others"},
            "if_uncertain": None,
            "…": "2 others",
        },
    }


def test_numbers_truths_and_what_is_too_deep_have_their_words() -> None:
    deep: Any = "secret"
    for _ in range(9):
        deep = [deep]

    assert outlined({"subject": 7, "message": True, "headers": deep}) == {
        "subject": "a number",
        "message": "true or false",
        "headers": [[["1 entries"]]],
    }


def test_long_lists_are_cut() -> None:
    found = outlined({"email_to": ["ada@example.org"] * 150})["email_to"]

    assert (len(found), found[-1]) == (101, "50 more")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no JSON",
        b'{"subject": "\xff"}',
        b"[" * 100_000,
        b"9" * 500_000,
        b" " * (MAX_BODY_BYTES + 1),
        json.dumps([[["x"] * 100] * 100] * 100).encode(),
    ],
)
def test_of_what_cannot_be_outlined_only_the_size_is_told(body: bytes) -> None:
    found = outline(body)

    assert len(found) <= LONGEST_OUTLINE
    assert json.loads(found)["bytes"] == len(body)
    assert json.loads(found)["fields"] in (None, "a number")


@given(JSON | emails())
def test_it_is_told_as_one_and_never_is_an_email(value: object) -> None:
    found = outline(json.dumps(value).encode())

    assert state_of(found) is BodyState.REDACTED
    assert parse_valid(found) is None


@given(
    st.recursive(
        SECRET,
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from([*KNOWN, CANARY, f"x-{CANARY}"]), inner)
        ),
    )
)
def test_nothing_of_what_it_says_is_left(value: object) -> None:
    assert CANARY not in outline(json.dumps(value).encode()).decode()


def test_nor_of_what_an_attacker_writes() -> None:
    bodies = HostileBodies(Random(6))  # noqa: S311 - the same at every run
    for _ in range(1_000):
        found = outline(bodies.next())
        assert len(found) <= LONGEST_OUTLINE
        assert CANARY not in found.decode()
        assert parse_valid(found) is None


def test_the_relays_words_are_masked_and_its_codes_are_left() -> None:
    text = (
        "5.7.1 <ada@mail24.example>: https://example.org/reset?t=123456 is listed;"
        " message rejected for tok=kX9-_z, 4711, aBcd and correcthorsebattery, seen on 2026-11-29"
    )
    body = b'{"text": "Hi ada@mail24.example, message kX9-_z and 4711, aBcd, correcthorsebattery"}'
    headers = {
        "x-hopmail-pending": ["ada@mail24.example"],
        "x-hopmail-detail": json.dumps({"stage": "END_OF_DATA", "code": 550, "text": text}),
        "x-hopmail-reason": "refused",
    }

    found = hushed(headers, body)

    assert found.keys() == headers.keys()
    assert json.loads(found["x-hopmail-detail"]) == {
        "stage": "END_OF_DATA",
        "code": 550,
        "text": (
            "5.7.1 <a***@mail24.example>: https://example.org/… is listed;"
            " message rejected for tok=…, …, … and …, seen on 2026-11-29"
        ),
    }
    assert nameless(found)["x-hopmail-pending"] == ["a***@mail24.example"]
    assert nameless({}) == {}


def test_names_that_the_sender_made_up_are_not_told() -> None:
    pointers = ("/attachments/0/secret", "/headers/X-Secret", "/subject", "properties.type", "")
    violations = [{"pointer": pointer, "message": "is wrong"} for pointer in pointers]

    found = hushed({"x-hopmail-detail": json.dumps({"violations": violations})}, b"")

    assert [each["pointer"] for each in json.loads(found["x-hopmail-detail"])["violations"]] == [
        "/attachments/0/…",
        "/headers/…",
        "/subject",
        "properties.type",
        "",
    ]
