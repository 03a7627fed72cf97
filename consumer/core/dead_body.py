"""The body of a dead letter: the message's own, sealed, or an outline of it."""

import json
from enum import StrEnum
from typing import Final

from consumer.core.record import record

BODY: Final = "x-hopmail-body"
"""What the body is; absent from a letter whose body was kept."""

BODY_KEY: Final = "x-hopmail-body-key"
"""Of a sealed body: the id of the key that opens it."""

SEALED: Final = b"hopmail-sealed-1\n"
OUTLINED: Final = b'{"x-hopmail-body":"redacted",'
"""What such a body begins with, and no email does: told by itself, whatever its headers say."""

KEY_ID_BYTES: Final = 4


class BodyState(StrEnum):
    """What became of a dead letter's body."""

    KEPT = "kept"
    REDACTED = "redacted"
    ENCRYPTED = "encrypted"


@record
class SealedBody:
    """A body in its seal; `key_id` names the key that opens `box`."""

    key_id: bytes
    box: bytes

    def to_bytes(self) -> bytes:
        """Return the body of the dead letter."""
        return SEALED + self.key_id + self.box


def state_of(body: bytes) -> BodyState:
    """Return what a body is."""
    if body.startswith(SEALED):
        return BodyState.ENCRYPTED
    return BodyState.REDACTED if body.startswith(OUTLINED) else BodyState.KEPT


def read_sealed(body: bytes) -> SealedBody:
    """Read what `to_bytes` wrote."""
    end = len(SEALED) + KEY_ID_BYTES
    return SealedBody(body[len(SEALED) : end], body[end:])


def context(message_id: str | None, login: object) -> bytes:
    """Return what a seal is bound to: in another message's letter, or another app's, it is broken.

    `login` is who published the message, as its letter says.
    """
    return json.dumps([SEALED.decode().strip(), message_id or "", login or ""]).encode()
