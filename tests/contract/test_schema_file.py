"""The schema file is what the model says, and v1 stays what it was."""

import json
from pathlib import Path

import jsonschema

from publisher_lib.schema import EXAMPLE, email_v1_schema, schema_text

SCHEMAS = Path(__file__).parents[2] / "schemas"


def test_the_schema_file_is_current() -> None:
    written = (SCHEMAS / "email.v1.schema.json").read_text()

    assert schema_text() == written, "run: python -m publisher_lib.schema > the file"


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(email_v1_schema())


def test_a_validator_without_our_keywords_takes_the_example() -> None:
    jsonschema.validate(EXAMPLE, json.loads((SCHEMAS / "email.v1.schema.json").read_text()))
