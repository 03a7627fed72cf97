"""Looks at dead letters without taking them from their queue, and keeps a copy in files."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consumer.core.followup import DETAIL, REASON
from consumer.core.topology import DEAD_QUEUE
from dev.connect import connected


@dataclass(frozen=True)
class DeadLetter:
    """One message of the dead-letter queue."""

    message_id: str
    reason: str
    detail: dict[str, Any]
    headers: dict[str, Any]
    body: bytes

    def sentences(self) -> list[str]:
        """Return the reason in words: each breach of the contract, or what the relay answered."""
        violations = self.detail.get("violations")
        if violations is not None:
            return [f"{v['pointer'] or 'the body'} {v['message']}" for v in violations]
        known = [self.detail.get(name) for name in ("stage", "code", "enhanced", "text")]
        return [" ".join(str(value) for value in known if value)]

    def write(self, folder: Path) -> Path:
        """Write it to a JSON file; a body that is no text as base64."""
        try:
            body = {"body": self.body.decode()}
        except UnicodeDecodeError:
            body = {"body_base64": base64.b64encode(self.body).decode("ascii")}
        shown = {
            "message_id": self.message_id,
            "reason": self.reason,
            "detail": self.detail,
            "headers": {name: value for name, value in self.headers.items() if name != DETAIL},
            **body,
        }
        path = folder / f"{self.reason}-{self.message_id}.json"
        path.write_text(json.dumps(shown, indent=2, ensure_ascii=False, default=str) + "\n")
        return path


class DeadLetters:
    """Those of the queue that bear one of the message ids looked for."""

    def __init__(self, connection: Any, message_ids: frozenset[str]) -> None:
        self._connection = connection
        self._message_ids = message_ids
        self.found: dict[str, DeadLetter] = {}

    def look(self, seconds: float) -> None:
        """Take note of what comes within `seconds`."""
        self._connection.process_data_events(seconds)

    def note(self, _channel: Any, _method: Any, properties: Any, body: bytes) -> None:
        """Take note of one delivery."""
        if properties.message_id in self._message_ids:
            headers = properties.headers or {}
            self.found[properties.message_id] = DeadLetter(
                properties.message_id,
                headers.get(REASON, "unknown"),
                json.loads(headers.get(DETAIL, "{}")),
                headers,
                body,
            )


@contextmanager
def looking_for(url: str, message_ids: frozenset[str]) -> Iterator[DeadLetters]:
    """Consume the dead-letter queue for the length of a block; all of it goes back at its end."""
    # What was not acked when the connection closes is the queue's again.
    with connected(url) as connection:
        letters = DeadLetters(connection, message_ids)
        connection.channel().basic_consume(DEAD_QUEUE, letters.note)
        yield letters
