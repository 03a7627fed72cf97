"""What to do about a breach of the contract: a line of the email as it should be. Pure."""

import json
from difflib import get_close_matches
from typing import Any, Final

from consumer.core.outcome import Defect, Undecodable, Violation
from publisher_lib.message import Attachment, Content, Email

MEANT: Final = {
    "to": "email_to",
    "recipient": "email_to",
    "recipients": "email_to",
    "from": "email_from",
    "from_": "email_from",
    "sender": "email_from",
    "text": "message",
    "html": "message",
    "body": "message",
    "replyTo": "reply_to",
    "title": "subject",
}
"""The field of the contract for a name that habit gives it."""

EXAMPLES: Final[dict[str, Any]] = {
    "email_to": "Ada Lovelace <ada@example.org>",
    "email_from": "My App <noreply@example.org>",
    "subject": "Confirm your address",
    "message": {"text": "Open https://…"},
    "text": "Open https://…",
    "html": "<p>Open …</p>",
    "cc": ["grace@example.org"],
    "bcc": ["archive@example.org"],
    "reply_to": "support@example.org",
    "headers": {"List-Unsubscribe": "<https://app.example.org/u/42>"},
    "attachments": [{"filename": "a.txt", "content_type": "text/plain", "content": "aGVsbG8="}],
    "filename": "invoice.pdf",
    "content_type": "application/pdf",
    "content": "aGVsbG8=",
    "content_id": "logo",
    "send_at": "2027-01-31T08:00:00Z",
    "expires_at": "2027-01-31T09:00:00Z",
    "if_uncertain": "hold",
}
"""A value of each field that keeps the contract."""

FIELDS: Final = {
    "": list(Email.model_fields),
    "message": list(Content.model_fields),
    "attachments": list(Attachment.model_fields),
}
"""By the field they are in."""

NO_FIELD: Final = "is no field"


def cure(found: Undecodable, violation: Violation) -> str:
    """Return what to do about one breach, or an empty text where the breach says so itself."""
    if found.defect is Defect.INVALID_JSON:
        return "mend the JSON there; `python3 -m json.tool FILE` shows the place too"
    if not violation.pointer:
        # Of the whole: too large, or no object.
        return ""
    *above, name = violation.pointer.lstrip("/").split("/")
    if violation.message.startswith(NO_FIELD):
        return _of_unknown(name, _known(above))
    # In a list, the field it is in.
    field = next((step for step in (name, *reversed(above)) if step in EXAMPLES), "")
    if not field:
        return ""
    verb = "add" if violation.message == "is required" else "write it as"
    return f"{verb} {_spelled(field)}"


def _known(above: list[str]) -> list[str]:
    return FIELDS.get(above[0] if above else "", FIELDS[""])


def _of_unknown(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    meant = close[0] if close else MEANT.get(name, "")
    if meant in known:
        return f"write {_spelled(meant)} in its place, or remove it"
    return "remove it; a header field of your own goes into `headers`"


def _spelled(field: str) -> str:
    return f'"{field}": {json.dumps(EXAMPLES[field], ensure_ascii=False)}'
