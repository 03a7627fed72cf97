"""What to do about a breach of the contract: a line of the email as it should be. Pure."""

import json
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
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


def repeated(body: bytes) -> list[str]:
    """Return the names that stand twice in an object of an email: of each the last counts."""
    found: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _value in pairs]
        found.extend(name for name in dict.fromkeys(names) if names.count(name) > 1)
        return dict(pairs)

    json.loads(body, object_pairs_hook=note)
    return found


def cure(found: Undecodable, violation: Violation, body: bytes) -> str:
    """Return what to do about one breach, or an empty text where the breach says so itself."""
    if found.defect is Defect.INVALID_JSON:
        return _of_no_json(body)
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


def _of_no_json(body: bytes) -> str:
    if body.startswith(BOM_UTF8):
        return "save it without a byte order mark, which is before the first character"
    if body.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return "save it as UTF-8: it is UTF-16"
    if not body.strip():
        return "it is empty: write an email"
    try:
        body.decode()
    except UnicodeDecodeError:
        return "save it as UTF-8"
    first, _line_end, others = body.strip().partition(b"\n")
    if others and _is_object(first):
        return "give each its own file, as `split -l 1 FILE` does: it begins with a whole email"
    return "mend the JSON there; `python3 -m json.tool FILE` shows the place too"


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


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
