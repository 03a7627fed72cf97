"""The body of a dead letter, as it was published."""

from consumer.core.dead_letter import BodyState, body_state
from consumer.core.delivery import Delivery


class BodyUnavailable(Exception):
    """The body is not the message's own; the text says why, and what can be done."""


def body_of(delivery: Delivery) -> bytes:
    """Return the body that was published. Raises BodyUnavailable."""
    match body_state(delivery.properties.headers):
        case BodyState.REDACTED:
            raise BodyUnavailable(
                "its body was not kept (HOPMAIL_DEADLETTER_BODY): have the app publish it again"
            )
        case BodyState.ENCRYPTED:
            raise BodyUnavailable("its body is encrypted, and its key is not known here")
        case _:
            return delivery.body
