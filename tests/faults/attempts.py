"""What was published and how each call ended, in a file that outlives the process that wrote it.

`python -m tests.faults.attempts URL FILE PREFIX COUNT` publishes from a process of its own.
"""

import os
import sys
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, Literal

from publisher_lib import (
    Content,
    Email,
    Lane,
    OutcomeUnknown,
    Publisher,
    PublishError,
    Receipt,
)

SECRET: Final = "tell-nobody-4711"
"""In every body: no log may hold it."""

NAME: Final = "nobody.knows"
"""In every address: no log may hold it."""

PATIENCE: Final = timedelta(seconds=90)
"""Longer than any fault: what fails nevertheless is the publisher's own doing."""


@dataclass
class Ends:
    """How the calls ended, by message id; who was attempted and has no end is unknown."""

    attempted: dict[str, tuple[str, ...]] = field(default_factory=dict)
    confirmed: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)

    @property
    def unknown(self) -> set[str]:
        """Those that may or may not be on the broker."""
        return set(self.attempted) - self.confirmed - self.failed


def email(message_id: str, recipients: int = 1, **changes: object) -> Email:
    """Return an email to this many people, found nowhere else."""
    names = [f"{NAME}.{message_id}.{number}@example.org" for number in range(recipients)]
    return Email(
        email_to=names,
        email_from="App <app@example.org>",
        subject=f"Message {message_id}",
        message=Content(text=f"{SECRET} " * 30, html=f"<p>{SECRET}</p>" * 10),
        **changes,  # type: ignore[arg-type]  # one or two fields of the model
    )


class Attempts:
    """The file. Threads, forks and several processes may write to it at once."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.path = path

    def close(self) -> None:
        """Close the file; what is in it stays."""
        os.close(self._file)

    def publish(
        self,
        publisher: Publisher,
        message_id: str,
        *,
        lane: Lane = Lane.TRANSACTIONAL,
        timeout: timedelta = PATIENCE,
        **email_fields: object,
    ) -> "Future[Receipt]":
        """Begin to publish one email, and write down how it ends."""
        made = email(message_id, **email_fields)  # type: ignore[arg-type]  # as above
        self.note("attempted", message_id, *made.recipients)
        future = publisher.publish_nowait(made, lane=lane, message_id=message_id, timeout=timeout)
        future.add_done_callback(partial(self._ended, message_id))
        return future

    def storm(
        self,
        publisher: Publisher,
        count: int,
        prefix: str = "m",
        *,
        on_each: Callable[[int], object] = lambda _number: None,
        **options: object,
    ) -> None:
        """Publish `count` emails as fast as the window lets, and wait for every end."""
        futures = []
        for number in range(count):
            on_each(number)
            futures.append(self.publish(publisher, f"{prefix}-{number}", **options))  # type: ignore[arg-type]  # as above
        for future in futures:
            future.exception()

    def read(self) -> Ends:
        """Return how the calls ended so far."""
        ends = Ends()
        in_doubt: set[str] = set()
        for line in self.path.read_text().splitlines():
            word, message_id, *recipients = line.split(" ")
            if word == "attempted":
                ends.attempted[message_id] = tuple(recipients)
            elif word == "confirmed":
                ends.confirmed.add(message_id)
            elif word == "failed":
                ends.failed.add(message_id)
            else:
                in_doubt.add(message_id)
        # A message may be published again: what counts is the most that is known of it.
        ends.failed -= ends.confirmed | in_doubt
        return ends

    def note(self, *words: str) -> None:
        """Write a line down: `attempted`, an id and its recipients; or an end and an id."""
        # One write per line: O_APPEND keeps writers apart, the page cache survives SIGKILL.
        os.write(self._file, f"{' '.join(words)}\n".encode())

    def _ended(self, message_id: str, done: "Future[Receipt]") -> None:
        self.note(_word_for(done), message_id)


def _word_for(done: "Future[Receipt]") -> Literal["confirmed", "unknown", "failed"]:
    try:
        error = done.exception()
    except CancelledError:
        return "failed"
    if error is None:
        return "confirmed"
    return "failed" if _is_surely_not_published(error) else "unknown"


def _is_surely_not_published(error: BaseException) -> bool:
    return isinstance(error, PublishError) and not isinstance(error, OutcomeUnknown)


def main() -> None:
    """Publish as the command line says."""
    url, path, prefix, count = sys.argv[1:]
    with Publisher(url) as publisher:
        Attempts(Path(path)).storm(publisher, int(count), prefix)


if __name__ == "__main__":
    main()
