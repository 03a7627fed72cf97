"""A dead letter mended: another body, under an id of its own, to those who have not got it."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from consumer.core.contract import parse_valid
from consumer.core.dead_letter import identity
from consumer.core.delivery import Delivery, Properties
from consumer.core.handled import Followup
from consumer.core.trail import Trail, trail_headers
from publisher_lib.message import Email
from publisher_lib.routing import CONTENT_TYPE, EXCHANGE, PUBLISHED_AT_MS, TRACE_HEADERS, TYPE

EDITED: Final = "edited-"


class NobodyLeft(Exception):
    """Everybody in the email has got it."""


def edited_properties(original: Delivery, now: datetime) -> Properties:
    """Return the properties of the copy that takes a dead letter's place.

    Its id follows from the dead letter alone: edited once more after a command that was killed
    between the broker's confirm and the end, it is known to the ledger.
    """
    return Properties(
        message_id=f"{EDITED}{identity(original)}",
        type=TYPE,
        content_type=CONTENT_TYPE,
        app_id=original.properties.app_id,
        timestamp_seconds=int(now.timestamp()),
    )


def edited_copy(
    original: Delivery, before: bytes, email: Email, trail: Trail, now: datetime
) -> Followup:
    """Return the copy; `trail` is the dead letter's, under the login of whoever edits it.

    Raises NobodyLeft.

    Of those to whom the message went, the relay took it for whom the dead letter does not owe it.
    """
    known = parse_valid(before)
    owed = trail.pending
    served = set() if known is None or owed is None else {*known.recipients} - {*owed}
    pending = tuple(name for name in email.recipients if name not in served)
    if not pending:
        raise NobodyLeft
    headers: dict[str, Any] = {
        name: value
        for name in TRACE_HEADERS
        if isinstance(value := original.properties.headers.get(name), str)
    }
    headers[PUBLISHED_AT_MS] = int(now.timestamp() * 1000)
    if len(pending) < len(email.recipients):
        headers |= trail_headers(Trail(1, now, pending, trail.login))
    return Followup(EXCHANGE, original.lane, headers)


def with_fields(body: bytes, fields: Iterable[str]) -> bytes:
    """Return a body with fields set: `FIELD=VALUE`, text or JSON. Raises ValueError.

    `message.text` is the field `text` within `message`; `FIELD=` removes it.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("the body is no JSON: give a whole one by --from-file") from None
    for field in fields:
        name, given, value = field.partition("=")
        if not given or not name:
            raise ValueError(f"--set takes FIELD=VALUE, not {field!r}")
        *parents, last = name.split(".")
        place = data
        for parent in parents:
            place = place.setdefault(parent, {}) if isinstance(place, dict) else None
        if not isinstance(place, dict):
            raise ValueError(  # noqa: TRY004 - of what was given, not of an argument
                f"--set {name}: there is nothing that could hold it"
            )
        if value:
            place[last] = _value(value)
        else:
            place.pop(last, None)
    return json.dumps(data, ensure_ascii=False).encode()


def _value(text: str) -> object:
    """Read a list or an object as JSON; the rest is text, as nearly all of the contract is."""
    if text[:1] in {"[", "{"}:
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text
