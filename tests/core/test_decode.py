"""A message's properties are judged before its body."""

import json
from dataclasses import replace
from typing import Any

import pytest

from consumer.core.decode import decode
from consumer.core.delivery import Properties
from consumer.core.outcome import Defect, Undecodable
from publisher_lib.message import Email

GOOD = Properties(message_id="m-1", type="email.v1", content_type="application/json")
BODY = json.dumps(
    {
        "email_to": "ada@example.org",
        "email_from": "app@example.org",
        "subject": "Hi",
        "message": {"text": "Hello"},
    }
).encode()


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"content_type": None},
        {"content_type": "application/json; charset=utf-8"},
        {"content_encoding": "utf-8"},
    ],
)
def test_a_message_of_the_contract_is_an_email(change: dict[str, Any]) -> None:
    email = decode(replace(GOOD, **change), BODY)

    assert isinstance(email, Email)


@pytest.mark.parametrize(
    ("change", "defect", "pointer"),
    [
        ({"message_id": None}, Defect.MISSING_MESSAGE_ID, "properties.message_id"),
        ({"message_id": ""}, Defect.MISSING_MESSAGE_ID, "properties.message_id"),
        ({"message_id": "a b"}, Defect.INVALID, "properties.message_id"),
        ({"message_id": "a\r\nBcc: x"}, Defect.INVALID, "properties.message_id"),
        ({"message_id": "x" * 201}, Defect.INVALID, "properties.message_id"),
        ({"type": None}, Defect.UNSUPPORTED_TYPE, "properties.type"),
        ({"type": "email.v2"}, Defect.UNSUPPORTED_TYPE, "properties.type"),
        ({"content_type": "text/plain"}, Defect.UNSUPPORTED_CONTENT, "properties.content_type"),
        (
            {"content_encoding": "gzip"},
            Defect.UNSUPPORTED_CONTENT,
            "properties.content_encoding",
        ),
        ({"undecodable": "broken table"}, Defect.UNDECODABLE_PROPERTIES, "properties"),
    ],
)
def test_properties_outside_the_contract_are_named(
    change: dict[str, Any], defect: Defect, pointer: str
) -> None:
    outcome = decode(replace(GOOD, **change), BODY)

    assert isinstance(outcome, Undecodable)
    assert defect == outcome.defect
    assert [pointer] == [violation.pointer for violation in outcome.violations]


def test_a_broken_body_is_reported_by_the_contract() -> None:
    outcome = decode(GOOD, b"{not json")

    assert isinstance(outcome, Undecodable)
    assert outcome.defect == Defect.INVALID_JSON
