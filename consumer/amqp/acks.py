"""Which acks a channel is owed: one for many where that is right. Pure."""

from collections.abc import Iterable, Iterator, Sequence


class Acks:
    """Counts the delivery tags of one channel, from 1 on.

    An ack of several ("multiple") is for every tag up to its own, so it is given only for a tag
    below which all are settled: one that another thread still works on would be lost with us.
    """

    def __init__(self) -> None:
        self._settled: set[int] = set()
        self._lowest_open = 1

    def settled(self, tags: Iterable[int]) -> None:
        """Note tags that are no longer open: acked, or given back."""
        self._settled.update(tags)
        while self._lowest_open in self._settled:
            self._settled.remove(self._lowest_open)
            self._lowest_open += 1

    def of(self, tags: Sequence[int]) -> Iterator[tuple[int, bool]]:
        """Yield the acks for tags that were settled just now: a tag, and whether for all below."""
        self.settled(tags)
        # The broker knows nothing of a tag that it was given an ack for: it must be one of these.
        below = [tag for tag in tags if tag < self._lowest_open]
        if below:
            yield max(below), len(below) > 1
        for tag in tags:
            if tag > self._lowest_open:
                yield tag, False
