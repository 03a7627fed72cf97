"""Opens the ledger that the settings name to look at it, and makes none where there is none."""

from datetime import timedelta

from consumer.core.ledger_url import LedgerKind, LedgerURL
from consumer.ledger.opening import NO_EXTRA, LedgerUnusable, file_of
from consumer.ledger.sqlite_reading import SqliteReader
from consumer.ledger.store import Reader


def open_reader(url: LedgerURL, retention: timedelta) -> Reader | None:
    """Return what reads the ledger; None where the settings want none. Raises LedgerUnusable."""
    match url.kind:
        case LedgerKind.SQLITE:
            return SqliteReader(file_of(url))
        case LedgerKind.REDIS if url.redis is not None:
            try:
                # Only now: the library is an extra.
                from consumer.ledger.redis_reading import RedisReader  # noqa: PLC0415 - see above
            except ModuleNotFoundError as error:
                raise LedgerUnusable(f"HOPMAIL_LEDGER_URL: {NO_EXTRA}") from error
            return RedisReader(url.redis, retention)
        case _:
            return None
