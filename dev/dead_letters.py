"""Looks at dead letters without taking them from their queue, and keeps a copy in files."""

import base64
import json
import re
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from consumer.core.followup import DETAIL, LAST_ATTEMPT_MS, REASON
from consumer.core.topology import DEAD_QUEUE
from dev.connect import connected

DELIVERY_COUNT: Final = "x-delivery-count"
UNSAFE: Final = re.compile(r"[^\w.-]", re.ASCII)
LONGEST_STEM: Final = 100
LOOK_SECONDS: Final = 2.0
QUIET_SECONDS: Final = 0.3


@dataclass(frozen=True)
class DeadLetter:
    """One message of the dead-letter queue."""

    message_id: str
    reason: str
    detail: dict[str, Any]
    headers: dict[str, Any]
    body: bytes

    def lines(self) -> Iterator[str]:
        """Return the lines that tell a person why it lies there."""
        yield f"reason   {self.reason}"
        for number, sentence in enumerate(self._sentences()):
            yield f"{'' if number else 'detail':<8} {sentence}"

    @property
    def file_name(self) -> str:
        """A name of its own: one message can leave several, for different recipients."""
        told = json.dumps(self.headers, sort_keys=True, default=str).encode() + self.body
        # A message that breaks the contract can have anything for its id, a path too.
        stem = UNSAFE.sub("_", f"{self.reason}-{self.message_id}")[:LONGEST_STEM]
        return f"{stem}-{zlib.crc32(told):08x}.json"

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
        path = folder / self.file_name
        path.write_text(json.dumps(shown, indent=2, ensure_ascii=False, default=str) + "\n")
        return path

    def _sentences(self) -> list[str]:
        """Return each breach of the contract, or what the relay answered."""
        violations = self.detail.get("violations")
        if violations is not None:
            return [f"{v['pointer'] or 'the body'} {v['message']}" for v in violations]
        known = [self.detail.get(name) for name in ("stage", "code", "enhanced", "text")]
        return [" ".join(str(value) for value in known if value)]


class DeadLetters:
    """Those of the queue whose properties are the wanted ones."""

    def __init__(self, connection: Any, wanted: Callable[[Any], bool]) -> None:
        self._connection = connection
        self._wanted = wanted
        self._arrived = 0
        self.found: list[DeadLetter] = []

    def look(self, seconds: float) -> bool:
        """Take note of what comes within `seconds`, and return whether anything came."""
        before = self._arrived
        self._connection.process_data_events(seconds)
        return self._arrived > before

    def note(self, _channel: Any, _method: Any, properties: Any, body: bytes) -> None:
        """Take note of one delivery."""
        self._arrived += 1
        if self._wanted(properties):
            headers = {k: v for k, v in (properties.headers or {}).items() if k != DELIVERY_COUNT}
            self.found.append(
                DeadLetter(
                    properties.message_id or "",
                    headers.get(REASON, "unknown"),
                    json.loads(headers.get(DETAIL, "{}")),
                    headers,
                    body,
                )
            )


@contextmanager
def looking(url: str, wanted: Callable[[Any], bool]) -> Iterator[DeadLetters]:
    """Consume the dead-letter queue for the length of a block; all of it goes back at its end."""
    # What was not acked when the connection closes is the queue's again.
    with connected(url) as connection:
        letters = DeadLetters(connection, wanted)
        connection.channel().basic_consume(DEAD_QUEUE, letters.note)
        yield letters


class Keeper:
    """Keeps in files, each once, the dead letters that the consumers leave from now on."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._folder = folder
        self._since_ms = int(time.time() * 1000)
        folder.mkdir()

    def keep(self) -> Iterator[tuple[DeadLetter, Path]]:
        """Write what is new; return it with its file. Raises BrokerUnavailable, AMQPError."""
        deadline = time.monotonic() + LOOK_SECONDS
        with looking(self._url, self._is_of_this_run) as letters:
            while letters.look(QUIET_SECONDS) and time.monotonic() < deadline:
                pass
        for letter in letters.found:
            if not (self._folder / letter.file_name).exists():
                yield letter, letter.write(self._folder)

    def _is_of_this_run(self, properties: Any) -> bool:
        last_attempt = (properties.headers or {}).get(LAST_ATTEMPT_MS)
        return isinstance(last_attempt, int) and last_attempt >= self._since_ms
