"""Whether the ledger that the settings name can be relied upon: findings, each with its cure."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from consumer.core.ledger_url import LedgerKind, LedgerURL
from consumer.ledger.opening import NO_EXTRA, LedgerUnusable, file_of, owner_for
from consumer.ledger.sqlite import SqliteStore
from consumer.ledger.store import LedgerTrouble

PLACE: Final = (
    "consumers wait until it can be written: make it so, or name another place in"
    " HOPMAIL_STATE_DIR or HOPMAIL_LEDGER_URL"
)


class Finding(NamedTuple):
    """What was found, and whether that is as it should be; `about` names the part it is of."""

    good: bool
    text: str
    about: str = "ledger"


def probe(url: LedgerURL, state_dir: Path) -> Iterator[Finding]:
    """Try the ledger as the daemon would open it.

    A file that is there is only locked; a folder made beside it, which goes, finds out whether the
    disk has room. In a Redis one key is written, and goes.
    """
    match url.kind:
        case LedgerKind.SQLITE:
            yield _file(url, state_dir)
        case LedgerKind.REDIS if url.redis is not None:
            yield _state(url, state_dir)
            try:
                # Only now: the library is an extra.
                from consumer.ledger.redis_probe import probe_redis  # noqa: PLC0415 - see above
            except ModuleNotFoundError:
                yield Finding(good=False, text=NO_EXTRA)
            else:
                yield from probe_redis(url.redis)
        case _:
            yield Finding(
                good=True,
                text="none: what is delivered twice is sent twice, and nobody will know of it",
            )


def _file(url: LedgerURL, state_dir: Path) -> Finding:
    try:
        path = file_of(url)
        owner = owner_for(url, state_dir, slots=1)
        store = SqliteStore(path, owner.name, durable=url.durable)
        try:
            # Nothing to do, with the lock of who writes.
            store.apply([], [])
        finally:
            store.close()
            owner.vanish()
    except LedgerUnusable as error:
        return Finding(good=False, text=str(error))
    except (LedgerTrouble, OSError) as error:
        return Finding(good=False, text=f"{error}; {PLACE}")
    return Finding(good=True, text=f"{path} can be written; all workers of this host must share it")


def _state(url: LedgerURL, state_dir: Path) -> Finding:
    try:
        owner_for(url, state_dir, slots=1).vanish()
    except LedgerUnusable as error:
        return Finding(good=False, text=str(error), about="state")
    except (LedgerTrouble, OSError) as error:
        return Finding(good=False, text=f"{error}; {PLACE}", about="state")
    text = f"{state_dir} can be written; all workers of this host must share it"
    return Finding(good=True, text=text, about="state")
