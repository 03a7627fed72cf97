"""What the ledger does from time to time, beside its claims: settle, prune, measure."""

import math
import time
from datetime import timedelta
from typing import Final

from consumer.ledger.store import LedgerTrouble, Store

SETTLE_SECONDS: Final = 10.0
PRUNE_SECONDS: Final = 600.0
NEXT_PART_SECONDS: Final = 1.0
"""What is old is pruned a part at a time, so that claims need not wait long."""
SIZE_SECONDS: Final = 30.0


class Housekeeping:
    """Keeps a store in order. Belongs to the store's thread; anyone may read `size_bytes`."""

    def __init__(self, store: Store, retention: timedelta) -> None:
        self._store = store
        self._retention = retention
        self._settle_seconds = self._prune_seconds = self._size_seconds = 0.0
        self.size_bytes = math.nan
        """As it was half a minute ago, at most; NaN while that is not known."""

    def do_what_is_due(self) -> None:
        """Do each thing whose time has come. Raises LedgerTrouble; it is due again then."""
        now = time.monotonic()
        if now >= self._settle_seconds:
            self._store.settle_dead()
            self._settle_seconds = now + SETTLE_SECONDS
        if now >= self._prune_seconds:
            pruned = self._store.prune(self._retention)
            self._prune_seconds = now + (NEXT_PART_SECONDS if pruned else PRUNE_SECONDS)
        if now >= self._size_seconds:
            self._size_seconds = now + SIZE_SECONDS
            self._measure()

    def _measure(self) -> None:
        try:
            self.size_bytes = float(self._store.size())
        except LedgerTrouble:
            # It may be written all the same.
            self.size_bytes = math.nan
