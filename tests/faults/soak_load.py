"""The soak's load: a steady mixture of mails, from a thread of its own."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import requests
from pika.exceptions import AMQPError

from publisher_lib import Attachment, Lane, Publisher
from tests.faults.attempts import Attempts
from tests.support.broker import VirtualHost

LARGE_BYTES: Final = 200_000
MOST_RECIPIENTS: Final = 5
KINDS: Final = {"small": 70, "bulk": 12, "several": 8, "large": 3, "held": 3, "twice": 2, "bad": 2}
"""How many of a hundred mails are of which kind."""


@dataclass
class Load:
    """Publishes `per_second` mails; `published` counts them."""

    vhost: VirtualHost
    attempts: Attempts
    per_second: float
    seed: int
    published: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Publish beside the block; after it every mail has its end."""
        thread = threading.Thread(target=self._run, name="load")
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _run(self) -> None:
        choice = random.Random(self.seed)  # noqa: S311 - the same mixture again, no secret
        kinds, weights = list(KINDS), list(KINDS.values())
        with Publisher(self.vhost.app_url) as publisher:
            due = time.monotonic()
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                # What was held up is not made up for in a burst.
                due = max(due + 1 / self.per_second, time.monotonic() - 1)
                (kind,) = choice.choices(kinds, weights)
                self._publish(publisher, kind, f"{kind}-{self.published}", choice)
                self.published += 1

    def _publish(
        self, publisher: Publisher, kind: str, message_id: str, choice: random.Random
    ) -> None:
        if kind == "bad":
            self._publish_bad(message_id)
            return
        self.attempts.publish(publisher, message_id, **_fields(kind, choice))
        if kind == "twice":
            self.attempts.publish(publisher, message_id, **_fields(kind, choice))

    def _publish_bad(self, message_id: str) -> None:
        self.attempts.note("attempted", message_id, "")
        # The broker may be away: then nobody knows, and it stays without an end.
        with suppress(AMQPError, OSError, requests.RequestException):
            self.vhost.publish_raw(b'{"email_to": 1', message_id=message_id)
            self.attempts.note("confirmed", message_id)


def _fields(kind: str, choice: random.Random) -> dict[str, Any]:
    match kind:
        case "bulk":
            return {"lane": Lane.BULK}
        case "several":
            return {"recipients": choice.randint(2, MOST_RECIPIENTS)}
        case "large":
            content = choice.randbytes(LARGE_BYTES * 3 // 4)
            file = Attachment(filename="a.bin", content_type="application/pdf", content=content)
            return {"lane": choice.choice(list(Lane)), "attachments": [file]}
        case "held":
            return {"if_uncertain": "hold"}
        case _:
            return {}
