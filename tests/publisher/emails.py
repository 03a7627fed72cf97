"""Emails to publish."""

from typing import Any

from publisher_lib import Content, Email

QUEUE = "email.transactional.v1"
SECRET = "reset-token-4711"


def email(
    number: int = 0, text: str = f"Open https://app.example.org/reset?token={SECRET}"
) -> Email:
    return Email(
        email_to=f"user{number}@example.org",
        email_from="App <app@example.org>",
        subject=f"Message {number}",
        message=Content(text=text),
    )


def as_mapping(**changes: Any) -> dict[str, Any]:
    """Return a valid email as a mapping, with these changes."""
    return {
        "email_to": "ada@example.org",
        "email_from": "app@example.org",
        "subject": "Hello",
        "message": {"text": "Hello"},
    } | changes
