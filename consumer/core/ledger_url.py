"""Where the ledger is, as one URL."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import parse_qsl, unquote

from consumer.core.redis_url import RedisURL
from consumer.core.url import split_url

EXPECTED: Final = (
    "expected sqlite:///var/lib/hopmail/ledger.sqlite3, redis://user:password@host:6379/0 or none"
)

DEFAULT_FILE: Final = "ledger.sqlite3"
"""In the state folder, where no other ledger is named."""

NO_PATH: Final = PurePosixPath()


class LedgerKind(StrEnum):
    """What keeps the ledger."""

    SQLITE = "sqlite"
    REDIS = "redis"
    NONE = "none"


@dataclass(frozen=True, slots=True, repr=False)
class LedgerURL:
    """A ledger: a SQLite file at `path`, a Redis, or none.

    `durable`: each commit waits for the disk, so that a loss of power loses none.
    """

    kind: LedgerKind
    path: PurePosixPath = NO_PATH
    redis: RedisURL | None = None
    durable: bool = False

    def __str__(self) -> str:
        if self.redis is not None:
            return str(self.redis)
        return f"sqlite://{self.path}" if self.kind is LedgerKind.SQLITE else "none"

    def __repr__(self) -> str:
        return f"LedgerURL({str(self)!r})"

    @classmethod
    def parse(cls, text: str) -> "LedgerURL":
        """Read a ledger's URL. Raises ValueError, which never quotes a password."""
        if text == LedgerKind.NONE:
            return cls(LedgerKind.NONE)
        split = split_url(text, {"sqlite", "redis", "rediss"}, EXPECTED)
        if split.scheme != LedgerKind.SQLITE:
            return cls(LedgerKind.REDIS, redis=RedisURL.parse(text))
        path = PurePosixPath("/") / unquote(split.path).lstrip("/")
        is_whole = split.path.startswith("/") and not split.netloc and not split.fragment
        if not is_whole or path == PurePosixPath("/"):
            raise ValueError(
                f"must name a file by its whole path after sqlite://, a # in it as %23; {EXPECTED}"
            )
        return cls(LedgerKind.SQLITE, path, durable=_is_durable(split.query))


def _is_durable(query: str) -> bool:
    options = dict(parse_qsl(query, keep_blank_values=True))
    if options.keys() - {"durable"}:
        raise ValueError("has one option: durable=yes, to wait for the disk at every commit")
    if options.get("durable", "no") not in {"yes", "no"}:
        raise ValueError("durable must be yes or no")
    return options.get("durable") == "yes"
