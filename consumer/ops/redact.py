"""What may be told of a dead letter that holds secrets: which fields it has, and how long."""

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import from_json

from consumer.core.contract import DEEPEST_EXPLAINED, FIELDS, MAX_BODY_BYTES
from consumer.core.dead_body import BODY, BodyState
from consumer.core.followup import DETAIL
from consumer.core.trail import PENDING
from consumer.ops.mask import mask, mask_echoes, mask_quotations
from publisher_lib.mailbox import parse_mailbox

MAILBOXES: Final = frozenset({"email_to", "email_from", "cc", "bcc", "reply_to"})

MOST_ENTRIES: Final = 100
LONGEST_OUTLINE: Final = 65_536

OTHERS: Final = "…"
"""Stands for names that the sender made up: they are part of what it says."""


def outline(body: bytes) -> bytes:
    """Return which of the contract's fields a body has and how long they are, mailboxes masked.

    It never is an email of the contract. Of what is no JSON, or is too large, only the size.
    """
    told = {BODY: str(BodyState.REDACTED), "bytes": len(body)}
    text = _json(told | {"fields": _fields(body)})
    return (text if len(text) <= LONGEST_OUTLINE else _json(told | {"fields": None})).encode()


def hushed(headers: Mapping[str, Any], body: bytes) -> dict[str, Any]:
    """Return a dead letter's headers, its detail without what that repeats of the mail."""
    pending = headers.get(PENDING, ())
    detail = json.loads(headers[DETAIL])
    if "text" in detail:
        words = mask_quotations(detail["text"], pending)
        detail["text"] = mask_echoes(words, body, pending)
    for violation in detail.get("violations", ()):
        violation["pointer"] = _known_steps(violation["pointer"])
    return {**headers, DETAIL: json.dumps(detail)}


def nameless(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dead letter's headers with its recipients masked."""
    masked = {PENDING: [mask(name) for name in headers[PENDING]]} if PENDING in headers else {}
    return {**headers, **masked}


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _fields(body: bytes) -> Any:
    if len(body) > MAX_BODY_BYTES:
        return None
    try:
        return _shape(from_json(body))
    except Exception:  # noqa: BLE001 - no JSON; and a bug must hold back no dead letter for ever
        return None


def _shape(value: object, name: str = "", depth: int = 0) -> Any:
    match value:
        case str() if name in MAILBOXES:
            return _mailbox(value)
        case str():
            return f"{len(value)} characters"
        case list() | dict() if depth > DEEPEST_EXPLAINED:
            return f"{len(value)} entries"
        case list():
            shown = [_shape(item, name, depth + 1) for item in value[:MOST_ENTRIES]]
            return shown + [f"{len(value) - MOST_ENTRIES} more"] * (len(value) > MOST_ENTRIES)
        case dict():
            known = {key: _shape(value[key], key, depth + 1) for key in value if key in FIELDS}
            others = len(value) - len(known)
            return known | ({OTHERS: f"{others} others"} if others else {})
        case bool():
            return "true or false"
        case None:
            return None
        case _:
            return "a number"


def _mailbox(text: str) -> str:
    try:
        return mask(parse_mailbox(text).address)
    except ValueError:
        return f"{len(text)} characters"


def _known_steps(pointer: str) -> str:
    """Return a JSON pointer, or a property's name, without names that the sender made up."""
    first, *steps = pointer.split("/")
    shown = [step if step in FIELDS or step.isdecimal() else OTHERS for step in steps]
    return "/".join([first, *shown])
