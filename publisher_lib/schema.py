"""The JSON Schema of the contract, made from the model: `python -m publisher_lib.schema`."""

import json
from typing import Any, Final

from publisher_lib.fields import MAILBOX_SCHEMA
from publisher_lib.message import Email

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
IDENTIFIER: Final = "urn:hopmail:schema:email.v1"

EXAMPLE: Final = {
    "email_to": "Ada Lovelace <ada@example.org>",
    "email_from": "My App <noreply@example.org>",
    "subject": "Confirm your address",
    "message": {
        "text": "Open https://app.example.org/verify?token=…",
        "html": '<p><a href="https://app.example.org/verify?token=…">Confirm</a></p>',
    },
    "expires_at": "2026-11-25T12:00:00Z",
}


def email_v1_schema() -> dict[str, Any]:
    """Return the schema of a message's body (JSON Schema 2020-12)."""
    made = Email.model_json_schema()
    return {
        "$schema": DIALECT,
        "$id": IDENTIFIER,
        "title": "email.v1",
        "examples": [EXAMPLE],
        **_with_named_mailbox({key: value for key, value in made.items() if key != "title"}),
    }


def _with_named_mailbox(made: dict[str, Any]) -> dict[str, Any]:
    """Say once what a mailbox is, and refer to it."""

    def shortened(node: Any) -> Any:
        if node == MAILBOX_SCHEMA:
            return {"$ref": "#/$defs/Mailbox"}
        if isinstance(node, dict):
            return {key: shortened(value) for key, value in node.items() if key != "title"}
        return [shortened(item) for item in node] if isinstance(node, list) else node

    short: dict[str, Any] = shortened(made)
    return short | {"$defs": short["$defs"] | {"Mailbox": MAILBOX_SCHEMA}}


def schema_text() -> str:
    """Return the text of the file `schemas/email.v1.schema.json`."""
    return json.dumps(email_v1_schema(), indent=2, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    print(schema_text(), end="")  # noqa: T201 - its purpose
