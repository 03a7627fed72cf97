"""A mended dead letter: to whom it still goes, and under which id."""

import json
from typing import Any

import pytest

from consumer.core.contract import parse
from consumer.core.dead_letter_edit import (
    NobodyLeft,
    edited_copy,
    edited_properties,
    with_fields,
)
from consumer.core.delivery import Properties
from consumer.core.trail import PENDING, Trail, read_trail
from publisher_lib.message import Email
from tests.core.test_dead_letter import BODY, FIRST, NOW, delivery, ours

OWED = Trail(3, FIRST, ("bob@example.com",), "hopmail")


def email(**changed: Any) -> Email:
    made = parse(json.dumps(json.loads(BODY) | changed).encode())
    assert isinstance(made, Email)
    return made


def pending(trail: Trail = OWED, before: bytes = BODY, **changed: Any) -> list[str] | None:
    headers = edited_copy(delivery({}), before, email(**changed), trail, NOW).headers
    found: list[str] | None = headers.get(PENDING)
    return found


def test_only_those_who_have_not_got_it_get_the_copy() -> None:
    assert pending(subject="Mended") == ["bob@example.com"]


def test_a_mended_address_is_owed_instead_of_the_wrong_one() -> None:
    assert pending(email_to=["ada@example.org", "bob@example.org"]) == ["bob@example.org"]


@pytest.mark.parametrize("trail", [Trail(1, FIRST, None, "hopmail"), OWED])
def test_where_all_are_owed_it_is_a_message_like_any_other(trail: Trail) -> None:
    assert pending(trail, email_to="bob@example.com") is None


def test_of_one_that_was_no_email_nobody_has_got_anything() -> None:
    assert pending(before=b"{") is None


def test_where_everybody_has_got_it_nothing_is_sent() -> None:
    with pytest.raises(NobodyLeft):
        pending(email_to="ada@example.org")


def test_the_copy_is_the_editors_and_counts_from_now() -> None:
    original = delivery({"traceparent": "00-abc", "tracestate": 7, "x-death": []}, app_id="shop")

    copy = edited_copy(original, BODY, email(), OWED, NOW)
    properties = edited_properties(original, NOW)

    assert (copy.exchange, copy.routing_key) == ("email", "transactional")
    assert copy.headers["traceparent"] == "00-abc"
    assert not {"tracestate", "x-death"} & {*copy.headers}
    assert (properties.app_id, properties.type) == ("shop", "email.v1")
    trail = read_trail(
        Properties(user_id="hopmail", headers=copy.headers), frozenset({"hopmail"}), NOW
    )
    assert Trail(1, NOW, ("bob@example.com",), "hopmail") == trail


def test_its_id_follows_from_the_dead_letter() -> None:
    made = edited_properties(ours(), NOW).message_id

    assert made == edited_properties(ours(), FIRST).message_id
    assert made != edited_properties(delivery({}), NOW).message_id


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (["subject=a=b"], {"subject": "a=b"}),
        (["message.text=Ho"], {"message": {"text": "Ho"}}),
        (["message.html=<p>", "message.text="], {"message": {"html": "<p>"}}),
        (["headers.X-A=1"], {"headers": {"X-A": "1"}}),
        (['email_to=["a@b.org"]'], {"email_to": ["a@b.org"]}),
        (["subject=[odd"], {"subject": "[odd"}),
        (["nothing="], {}),
    ],
)
def test_fields_are_set_one_by_one(fields: list[str], expected: dict[str, Any]) -> None:
    assert json.loads(with_fields(BODY, fields)) == json.loads(BODY) | expected


@pytest.mark.parametrize(
    ("body", "field", "wrong"),
    [
        (b"{", "subject=x", "--from-file"),
        (b"[]", "subject=x", "nothing that could hold it"),
        (BODY, "subject", "FIELD=VALUE"),
        (BODY, "=x", "FIELD=VALUE"),
        (BODY, "subject.a=x", "nothing that could hold it"),
        (BODY, "subject.a.b=x", "nothing that could hold it"),
    ],
)
def test_what_cannot_be_set_is_told(body: bytes, field: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        with_fields(body, [field])
