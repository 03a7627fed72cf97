"""Which message a thread works on: what it logs meanwhile, wherever in the code, is about that."""

from contextvars import ContextVar
from typing import Final

from consumer.core.correlation import correlation
from consumer.core.delivery import Properties

CURRENT: Final[ContextVar[Properties | None]] = ContextVar("message", default=None)


class Concerning:
    """A block that works on one message."""

    def __init__(self, properties: Properties) -> None:
        self._properties = properties

    def __enter__(self) -> None:
        self._before = CURRENT.set(self._properties)

    def __exit__(self, *_: object) -> None:
        CURRENT.reset(self._before)


def ids() -> dict[str, str]:
    """Return what a line of this thread says of its message; nothing where it works on none."""
    properties = CURRENT.get()
    return {} if properties is None else correlation(properties)
