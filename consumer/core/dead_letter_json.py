"""Dead letters as JSON: what `list --json` and `show --json` tell, and the lines of an export."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from consumer.core.dead_body import BODY, BODY_KEY
from consumer.core.dead_letter import DeadLetter, identity
from consumer.core.death import died_ms, reason_of
from consumer.core.delivery import Delivery, Properties
from consumer.core.followup import (
    DETAIL,
    KEPT_HEADERS,
    LANE,
    LAST_ATTEMPT_MS,
    MAX_DETAIL_BYTES,
    REASON,
    is_worth_keeping,
)
from consumer.core.trail import LOGIN, OURS
from publisher_lib.routing import Lane

FORMAT: Final = "hopmail.deadletter.v1"

TEXTS: Final = ("message_id", "type", "content_type", "content_encoding", "app_id", "user_id")
LONGEST_TEXT: Final = 255
"""Octets of a short string (AMQP 0-9-1 §4.2.5.3)."""

HEADERS: Final = (*OURS, REASON, DETAIL, LANE, LAST_ATTEMPT_MS, BODY, BODY_KEY, *KEPT_HEADERS)
"""An allow-list: a copied `x-death` makes brokers before 4.0.1 drop the message as a cycle."""

COUNTS: Final = frozenset({"x-delivery-count", "x-acquired-count"})
"""The broker's, of how often it was looked at."""

MAX_HEADERS_BYTES: Final = 65_536
"""As JSON. Past 131 064 bytes on the wire a frame breaks."""


class Damaged(ValueError):
    """A line is no dead letter; the text says what is wrong with it."""


def told(letter: DeadLetter, now: datetime) -> dict[str, Any]:
    """Return what is known of a dead letter, without its body."""
    known = asdict(letter) | {
        "lane": str(letter.lane),
        "domains": list(letter.domains),
        "published_at": _iso(letter.published_at),
        "died_at": _iso(letter.died_at),
        "age_seconds": letter.died_at and round((now - letter.died_at).total_seconds()),
        "body_state": letter.body.value,
    }
    del known["body"]
    return {name: value for name, value in known.items() if value not in (None, {})}


def body_members(body: bytes) -> dict[str, str]:
    """Return the member that holds a body: as text, or as base64 where it is none."""
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(body).decode("ascii")}


def export_line(delivery: Delivery) -> str:
    """Return a dead letter as a line of JSON from which `read_line` reads it back."""
    properties = delivery.properties
    line = {
        "format": FORMAT,
        "id": identity(delivery),
        "reason": reason_of(delivery),
        "lane": str(delivery.lane),
        **{name: value for name in TEXTS if (value := getattr(properties, name)) is not None},
        "timestamp": properties.timestamp_seconds,
        "headers": {
            name: _carried(name, value)
            for name, value in properties.headers.items()
            if name not in COUNTS and _is_carried(name, value)
        },
        **body_members(delivery.body),
    }
    return json.dumps(line, ensure_ascii=False, default=str)


def read_line(text: str) -> Delivery:
    """Return the dead letter of a line. Raises Damaged."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"it is no JSON ({error})") from None
    if not isinstance(line, dict) or line.get("format") != FORMAT:
        raise Damaged(f"it has no format {FORMAT!r}")
    delivery = Delivery(
        lane=_lane(line),
        tag=0,
        generation=0,
        redelivered=False,
        properties=_properties(line),
        body=_body(line),
        received_seconds=0.0,
    )
    if line.get("id") != identity(delivery):
        raise Damaged(
            "it was changed since it was exported: its id is not that of what it holds;"
            " import it as it was, and change it with `hopmail deadletters edit`"
        )
    return delivery


def import_headers(delivery: Delivery) -> Mapping[str, Any]:
    """Return the headers under which an exported dead letter goes back into the queue.

    They keep what another signer and a lost `x-death` would take away: who published it, its lane,
    and why and when RabbitMQ moved it.
    """
    headers = delivery.properties.headers
    found: dict[str, Any] = {
        LOGIN: delivery.properties.user_id or "",
        **{name: headers[name] for name in HEADERS if name in headers},
        LANE: str(delivery.lane),
        REASON: reason_of(delivery),
    }
    if (moment := died_ms(headers)) is not None:
        found[LAST_ATTEMPT_MS] = moment
    return found


def _lane(line: Mapping[str, Any]) -> Lane:
    try:
        return Lane(str(line.get("lane")))
    except ValueError as error:
        raise Damaged(str(error)) from None


def _properties(line: Mapping[str, Any]) -> Properties:
    texts: dict[str, Any] = {name: line.get(name) for name in TEXTS}
    for name, value in texts.items():
        if value is not None and not isinstance(value, str):
            raise Damaged(f"{name} is no text")
        if len((value or "").encode("utf-8", "replace")) > LONGEST_TEXT:
            raise Damaged(f"{name} is longer than {LONGEST_TEXT} bytes")
    timestamp, headers = line.get("timestamp"), line.get("headers")
    if timestamp is not None and not _is_number(timestamp):
        raise Damaged("timestamp is no whole number")
    if not isinstance(headers, dict) or not all(
        _is_writable(headers[name]) for name in HEADERS if name in headers
    ):
        raise Damaged("headers are none that Hopmail writes")
    if len(json.dumps([headers.get(name) for name in HEADERS])) > MAX_HEADERS_BYTES:
        raise Damaged(f"headers have more than {MAX_HEADERS_BYTES} bytes")
    return Properties(**texts, timestamp_seconds=timestamp, headers=headers)


def _is_carried(name: str, value: object) -> bool:
    """Return whether to export a header: not what an app alone can have made so long."""
    if value is None:
        return False
    if name == DETAIL:
        return isinstance(value, str) and len(value) <= MAX_DETAIL_BYTES
    return name not in KEPT_HEADERS or is_worth_keeping(value)


def _carried(name: str, value: object) -> object:
    """Return a header's value, as text where an app gave one of ours a value that none has.

    Its dead letter's identity stays, and what is exported can be imported.
    """
    if name not in HEADERS or _is_writable(value):
        return value
    return list(map(str, value)) if isinstance(value, list) else str(value)


def _is_writable(value: object) -> bool:
    if isinstance(value, list):
        return all(isinstance(each, str) for each in value)
    return isinstance(value, str) or _is_number(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def _body(line: Mapping[str, Any]) -> bytes:
    text, encoded = line.get("body"), line.get("body_base64")
    try:
        if isinstance(text, str) and encoded is None:
            return text.encode()
        if isinstance(encoded, str) and text is None:
            return base64.b64decode(encoded, validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise Damaged(f"its body cannot be read ({error})") from None
    raise Damaged("it has neither body nor body_base64, or both")


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")
