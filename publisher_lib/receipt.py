"""What a published email is answered with."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Receipt:
    """The broker has the message, safe on disk. `message_id` finds it in logs and dead letters."""

    message_id: str
