"""Emails published one after the other for as long as a block takes."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Final

from publisher_lib import Publisher, Receipt
from tests.faults.attempts import Attempts

EVERY_SECONDS: Final = 0.01


@contextmanager
def load(attempts: Attempts, urls: str) -> Iterator[None]:
    """Publish beside the block; after it every call has had its end."""
    done = threading.Event()

    def publish() -> None:
        futures: list[Future[Receipt]] = []
        while not done.wait(EVERY_SECONDS):
            futures.append(attempts.publish(publisher, f"m-{len(futures)}"))
        for future in futures:
            future.exception()

    with Publisher(urls) as publisher:
        thread = threading.Thread(target=publish, name="load")
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
