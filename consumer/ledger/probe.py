"""Whether the ledger that the settings name can be relied upon: findings, each with its cure."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from consumer.core.ledger_url import LedgerKind, LedgerURL


class Finding(NamedTuple):
    """What was found, and whether that is as it should be."""

    good: bool
    text: str


def probe(url: LedgerURL, state_dir: Path) -> Iterator[Finding]:
    """Try the ledger; nothing is written but to a Redis, one key that goes by itself."""
    match url.kind:
        case LedgerKind.SQLITE:
            yield _folder(Path(url.path).parent, "HOPMAIL_LEDGER_URL")
        case LedgerKind.REDIS if url.redis is not None:
            yield _folder(state_dir, "HOPMAIL_STATE_DIR")
            try:
                # Only now: the library is an extra.
                from consumer.ledger.redis_probe import probe_redis  # noqa: PLC0415 - see above
            except ModuleNotFoundError:
                cure = "pip install 'hopmail[redis]'"
                yield Finding(good=False, text=f"a ledger on Redis needs the extra: {cure}")
            else:
                yield from probe_redis(url.redis)
        case _:
            yield Finding(
                good=True,
                text="none: what is delivered twice is sent twice, and nobody will know of it",
            )


def _folder(folder: Path, variable: str) -> Finding:
    made = next(path for path in (folder, *folder.parents) if path.exists())
    if made.is_dir() and os.access(made, os.W_OK | os.X_OK):
        return Finding(
            good=True, text=f"{folder} can be written; all workers of this host must share it"
        )
    return Finding(
        good=False,
        text=f"{made} is no folder this user can write to;"
        f" create {folder} for this user, or set {variable}",
    )
