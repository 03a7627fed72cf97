"""On whatever comes, the model, the schema and the consumer agree."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from consumer.core.contract import MAX_BODY_BYTES, MAX_VIOLATIONS, breaches, parse
from consumer.core.outcome import Defect, Undecodable
from publisher_lib.limits import MAX_COMPOSED_BYTES
from publisher_lib.message import Email
from tests.support.strategies import JSON_VALUES, emails, near_misses


def model_takes(data: object) -> bool:
    try:
        Email.model_validate_json(json.dumps(data))
    except ValidationError:
        return False
    return True


@given(emails())
def test_generated_emails_are_taken_by_all_three(data: dict[str, Any]) -> None:
    assert breaches(data) == ()
    assert model_takes(data)
    assert isinstance(parse(json.dumps(data).encode()), Email)


@settings(max_examples=400)
@given(near_misses())
@example(
    {"email_to": "a@b.c", "email_from": "a@b.c", "subject": "s", "message": {"text": "\ud83d"}}
)
def test_near_misses_get_one_verdict(data: dict[str, Any]) -> None:
    outcome = parse(json.dumps(data).encode())

    if isinstance(outcome, Undecodable) and outcome.defect is Defect.INVALID_JSON:
        return
    assert model_takes(data) == (breaches(data) == ()) == isinstance(outcome, Email)


@given(JSON_VALUES)
def test_any_other_json_is_refused_by_all_three(data: object) -> None:
    outcome = parse(json.dumps(data).encode())

    assert isinstance(outcome, Undecodable)
    assert not model_takes(data)
    if outcome.defect is Defect.INVALID:
        assert breaches(data) == outcome.violations


@given(emails())
def test_an_email_survives_its_own_json(data: dict[str, Any]) -> None:
    email = Email.model_validate(data)

    again = Email.model_validate_json(email.to_json())

    assert email == again
    assert breaches(json.loads(email.to_json())) == ()


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":"\\ud800"}', b"{'a': 1}", b"\xef\xbb\xbf{}"],
)
def test_what_is_no_json_says_where(body: bytes) -> None:
    outcome = parse(body)

    assert isinstance(outcome, Undecodable)
    assert outcome.defect == Defect.INVALID_JSON
    assert "line 1 column" in outcome.violations[0].message


@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise(body: bytes) -> None:
    assert isinstance(parse(body), Undecodable)


def test_a_body_beyond_every_email_is_not_even_parsed() -> None:
    outcome = parse(b"[" * (MAX_BODY_BYTES + 1))

    assert isinstance(outcome, Undecodable)
    assert outcome.defect == Defect.TOO_LARGE
    assert str(MAX_BODY_BYTES) in outcome.violations[0].message


@pytest.mark.parametrize("what", ["text", "attachment"])
def test_an_email_that_composes_too_large_is_refused_by_all_three(what: str) -> None:
    data: dict[str, Any] = {
        "email_to": "ada@example.org",
        "email_from": "app@example.org",
        "subject": "Large",
        "message": {"text": "x" * (8_000_000 if what == "text" else 1)},
    }
    if what == "attachment":
        data["attachments"] = [
            {"filename": "a", "content_type": "text/plain", "content": "AAAA" * 2_500_000}
        ]

    outcome = parse(json.dumps(data).encode())

    assert isinstance(outcome, Undecodable)
    assert outcome.defect == Defect.TOO_LARGE
    assert [violation.pointer for violation in outcome.violations] == [""]
    assert str(MAX_COMPOSED_BYTES) in outcome.violations[0].message
    assert not model_takes(data)
    assert breaches(data) == outcome.violations


def test_no_refusal_lists_more_than_a_person_reads() -> None:
    data = {f"unknown{n}": n for n in range(1000)}

    outcome = parse(json.dumps(data).encode())

    assert isinstance(outcome, Undecodable)
    assert len(outcome.violations) == MAX_VIOLATIONS


MANY = 200_000
LONG = "a." * 1_000_000
MINIMAL = {
    "email_to": "a@example.org",
    "email_from": "a@example.org",
    "subject": "s",
    "message": {"text": "t"},
}


@pytest.mark.parametrize(
    "changes",
    [
        {"email_to": [0] * MANY},
        {"attachments": [0] * MANY},
        {"headers": {f"h{number}": 0 for number in range(MANY)}},
        {f"unknown{number}": 0 for number in range(MANY)},
        {"cc": [["x"]] * MANY},
        {"email_to": LONG},
        {"email_from": f"a@{LONG}"},
        {"reply_to": [f"<a@{LONG}>"]},
        {"attachments": [{"filename": "a", "content_type": "a/b" + "; a=b" * MANY, "content": ""}]},
        {"headers": {LONG: "x"}},
    ],
    ids=[
        *("recipients", "attachments", "headers", "unknown", "nested", "mailbox name", "domain"),
        *("angled domain", "media type", "header name"),
    ],
)
def test_a_body_of_countless_faults_is_explained_within_bounds(changes: dict[str, Any]) -> None:
    body = json.dumps({**MINIMAL, **changes}).encode()

    tracemalloc.start()
    try:
        outcome = parse(body)
        _now, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert isinstance(outcome, Undecodable)
    assert 1 <= len(outcome.violations) <= MAX_VIOLATIONS
    assert peak_bytes < 20 * len(body) + 20_000_000
