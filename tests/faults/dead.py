"""Whose mails lie in the dead-letter queue, and why."""

import json
from collections.abc import Iterable
from typing import Final

from tests.faults.sink import Pair
from tests.support.broker import Message

ADDRESS_FIELDS: Final = ("email_to", "cc", "bcc")


def dead_pairs(messages: Iterable[Message]) -> dict[Pair, str]:
    """Return the reason by message id and recipient.

    One that the broker itself gave up has no `x-hopmail-reason`, but `x-first-death-reason`.
    """
    return {
        (message.properties.message_id, recipient): _reason(message)
        for message in messages
        for recipient in _recipients(message)
    }


def _reason(message: Message) -> str:
    headers = message.headers
    return str(headers.get("x-hopmail-reason") or headers.get("x-first-death-reason"))


def _recipients(message: Message) -> Iterable[str]:
    pending = message.headers.get("x-hopmail-pending")
    if pending:
        return tuple(map(str, pending))
    try:
        body = json.loads(message.body)
    except ValueError:
        return ("",)
    named = [body.get(field) or () for field in ADDRESS_FIELDS]
    return [name for names in named for name in ([names] if isinstance(names, str) else names)]
