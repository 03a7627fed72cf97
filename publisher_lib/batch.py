"""The emails of one `publish_many`: which were confirmed and which were not, by index."""

from collections import deque
from concurrent.futures import Future

from publisher_lib.errors import PublishError, PublishManyFailed
from publisher_lib.receipt import Receipt


class Batch:
    """Collects answers in the order of publishing; holds no email."""

    def __init__(self) -> None:
        self._receipts: dict[int, Receipt] = {}
        self._failures: dict[int, PublishError] = {}
        self._on_their_way: deque[Future[Receipt]] = deque()
        self._is_cut_short = False

    def add(self, future: Future[Receipt]) -> bool:
        """Take the next email's future; False once one has failed."""
        self._on_their_way.append(future)
        while self._on_their_way and self._on_their_way[0].done():
            self._collect()
        self._is_cut_short = bool(self._failures)
        return not self._is_cut_short

    def refuse(self, error: PublishError) -> None:
        """Note that the next email failed before it was on its way; none is taken after it."""
        self._is_cut_short = True
        future: Future[Receipt] = Future()
        future.set_exception(error)
        self._on_their_way.append(future)

    def wait(self) -> list[Receipt]:
        """Wait for every answer and return the receipts. Raises `PublishManyFailed`."""
        while self._on_their_way:
            self._collect()
        if self._failures:
            raise PublishManyFailed(self._receipts, self._failures, self._is_cut_short)
        return list(self._receipts.values())

    def _collect(self) -> None:
        index = len(self._receipts) + len(self._failures)
        try:
            self._receipts[index] = self._on_their_way.popleft().result()
        except PublishError as error:
            self._failures[index] = error
