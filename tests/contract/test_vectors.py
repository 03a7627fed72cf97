"""Model, schema and consumer give the same verdict on every vector, and the same place."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from consumer.core.contract import breaches, parse
from consumer.core.outcome import Undecodable
from publisher_lib.message import Email
from publisher_lib.violations import violations

VECTORS = Path(__file__).parents[2] / "schemas" / "vectors"


def vectors(kind: str) -> list[Any]:
    cases = json.loads((VECTORS / f"email.v1.{kind}.json").read_text())
    return [pytest.param(case, id=case["description"]) for case in cases]


def as_body(case: dict[str, Any]) -> bytes:
    return json.dumps(case["data"]).encode()


@pytest.mark.parametrize("case", vectors("valid"))
def test_a_valid_vector_is_taken_by_model_schema_and_consumer(case: dict[str, Any]) -> None:
    body = as_body(case)

    assert case["valid"] is True
    assert isinstance(Email.model_validate_json(body), Email)
    assert breaches(case["data"]) == ()
    assert isinstance(parse(body), Email)


@pytest.mark.parametrize("case", vectors("invalid"))
def test_an_invalid_vector_is_refused_by_all_three_at_the_same_place(case: dict[str, Any]) -> None:
    body = as_body(case)

    with pytest.raises(ValidationError) as refusal:
        Email.model_validate_json(body)
    outcome = parse(body)

    assert case["valid"] is False
    assert isinstance(outcome, Undecodable)
    assert outcome.violations == breaches(case["data"])
    assert case["pointer"] in {violation.pointer for violation in outcome.violations}
    assert case["pointer"] in {pointer for pointer, _message in violations(refusal.value)}


@pytest.mark.parametrize("case", vectors("invalid"))
def test_a_refusal_quotes_nothing_of_the_contents(case: dict[str, Any]) -> None:
    outcome = parse(as_body(case))

    assert isinstance(outcome, Undecodable)
    for violation in outcome.violations:
        assert violation.message.isprintable()
        for field in ("subject", "message"):
            text = case["data"].get(field)
            if isinstance(text, str) and len(text) > 5:
                assert text not in violation.message


def test_there_are_enough_vectors_and_no_description_twice() -> None:
    valid = json.loads((VECTORS / "email.v1.valid.json").read_text())
    invalid = json.loads((VECTORS / "email.v1.invalid.json").read_text())

    descriptions = [case["description"] for case in valid + invalid]

    assert len(valid) >= 25
    assert len(invalid) >= 60
    assert len(set(descriptions)) == len(descriptions)
