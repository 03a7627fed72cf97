"""From a delivery to the email it asks for, or to what is wrong with it."""

from consumer.core.contract import parse, parse_valid
from consumer.core.dead_body import BodyState, state_of
from consumer.core.delivery import Properties
from consumer.core.outcome import Defect, Undecodable, Violation
from publisher_lib.message import Email
from publisher_lib.message_id import MESSAGE_ID, MESSAGE_ID_RULE
from publisher_lib.routing import CONTENT_TYPE, TYPE


def decode(properties: Properties, body: bytes) -> Email | Undecodable:
    """Return the email a message asks for, or every reason why it is none."""
    return _defect_of(properties) or _closed(body) or parse(body)


def read(properties: Properties, body: bytes) -> Email | None:
    """Return the email a message asks for; None, and no reasons, when it is none: quick."""
    return None if _defect_of(properties) else parse_valid(body)


def _closed(body: bytes) -> Undecodable | None:
    """Say of a dead letter that was put back into its lane as it was why it cannot be read."""
    if (state := state_of(body)) is BodyState.KEPT:
        return None
    return _defect(
        Defect.UNSUPPORTED_CONTENT,
        "properties.headers.x-hopmail-body",
        f"the body is {state}: only `hopmail deadletters` gives such a dead letter back",
    )


def _defect_of(properties: Properties) -> Undecodable | None:
    if properties.undecodable:
        return _defect(Defect.UNDECODABLE_PROPERTIES, "properties", properties.undecodable)
    if not properties.message_id:
        return _defect(
            Defect.MISSING_MESSAGE_ID,
            "properties.message_id",
            "is missing; set it to a key that is unique to this email and stays when you retry",
        )
    if not MESSAGE_ID.fullmatch(properties.message_id):
        return _defect(Defect.INVALID, "properties.message_id", MESSAGE_ID_RULE)
    if properties.type != TYPE:
        given = f"{properties.type[:40]!r}" if properties.type else "missing"
        return _defect(
            Defect.UNSUPPORTED_TYPE,
            "properties.type",
            f"is {given}; this consumer reads {TYPE!r}",
        )
    return _unsupported_content(properties)


def _unsupported_content(properties: Properties) -> Undecodable | None:
    media_type = (properties.content_type or CONTENT_TYPE).partition(";")[0].strip().lower()
    if media_type != CONTENT_TYPE:
        return _defect(
            Defect.UNSUPPORTED_CONTENT, "properties.content_type", f"must be {CONTENT_TYPE!r}"
        )
    if properties.content_encoding not in {None, "", "identity", "utf-8", "UTF-8"}:
        return _defect(
            Defect.UNSUPPORTED_CONTENT,
            "properties.content_encoding",
            "must be absent: the body is read as plain UTF-8 JSON",
        )
    return None


def _defect(defect: Defect, pointer: str, message: str) -> Undecodable:
    return Undecodable(defect, (Violation(pointer, message),))
