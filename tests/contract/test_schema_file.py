"""The schema file is what the model says, and v1 stays what it was."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from consumer.core.contract import breaches
from publisher_lib.schema import EXAMPLE, email_v1_schema, schema_text

SCHEMAS = Path(__file__).parents[2] / "schemas"
FIRST: dict[str, Any] = json.loads(
    (Path(__file__).parent / "email.v1.first.schema.json").read_text()
)
ANNOTATIONS = {"description", "examples", "title"}


def narrowings(first: Any, current: Any, where: str = "#") -> list[str]:
    """Return where `current` is not `first` with optional properties added.

    Stricter than need be: a rule that was loosened is reported too, for a person to judge.
    """
    if not (isinstance(first, dict) and isinstance(current, dict)):
        return [] if first == current else [where]
    found: list[str] = []
    for key in (first.keys() | current.keys()) - ANNOTATIONS:
        if key in {"properties", "$defs"}:
            for name in first.get(key, {}):
                here = f"{where}/{key}/{name}"
                found += narrowings(first[key][name], current.get(key, {}).get(name), here)
        else:
            found += narrowings(first.get(key), current.get(key), f"{where}/{key}")
    return found


def test_the_schema_file_is_current() -> None:
    written = (SCHEMAS / "email.v1.schema.json").read_text()

    assert schema_text() == written, "run: python -m publisher_lib.schema > the file"


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(email_v1_schema())


def test_a_validator_without_our_keywords_takes_the_example() -> None:
    jsonschema.validate(EXAMPLE, json.loads((SCHEMAS / "email.v1.schema.json").read_text()))


def test_what_the_first_v1_accepted_is_accepted_still() -> None:
    assert narrowings(FIRST, email_v1_schema()) == []


def test_every_field_says_what_it_is_for() -> None:
    for name, field in email_v1_schema()["properties"].items():
        assert len(field.get("description", "")) > 10, name


@pytest.mark.parametrize("wrong", ["no mailbox", "x" * 600, ["no mailbox"], 5])
@pytest.mark.parametrize("field", ["email_from", "email_to", "cc", "headers", "send_at"])
def test_what_a_field_is_for_is_not_taken_for_its_form(field: str, wrong: object) -> None:
    (violation,) = breaches(EXAMPLE | {field: wrong})

    assert violation.pointer.startswith(f"/{field}")
    assert email_v1_schema()["properties"][field]["description"] not in violation.message


def drop_a_field(schema: dict[str, Any]) -> None:
    del schema["properties"]["reply_to"]


def require_a_field(schema: dict[str, Any]) -> None:
    schema["required"].append("reply_to")


def shorten_a_field(schema: dict[str, Any]) -> None:
    schema["properties"]["subject"]["maxLength"] = 78


def narrow_an_attachment(schema: dict[str, Any]) -> None:
    schema["$defs"]["Attachment"]["required"].append("content_id")


@pytest.mark.parametrize(
    "change", [drop_a_field, require_a_field, shorten_a_field, narrow_an_attachment]
)
def test_a_change_that_breaks_v1_is_seen(change: Callable[[dict[str, Any]], None]) -> None:
    schema = copy.deepcopy(email_v1_schema())

    change(schema)

    assert narrowings(FIRST, schema) != []


def test_an_optional_field_may_be_added() -> None:
    schema = copy.deepcopy(email_v1_schema())

    schema["properties"]["locale"] = {"type": "string"}

    assert narrowings(FIRST, schema) == []
