"""How large the ledger is, and how long its commits take."""

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, Histogram

WRITE_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
"""Seconds. A group takes a millisecond or two; a file that another holds is waited for for 5 s."""


class LedgerFigures:
    """`size_bytes` is read at each write of the file."""

    def __init__(self, registry: CollectorRegistry, size_bytes: Callable[[], float]) -> None:
        Gauge(
            "hopmail_ledger_bytes",
            "Size of the ledger: SQLite's file and its log, or the memory that Redis uses.",
            registry=registry,
        ).set_function(size_bytes)
        self._writes = Histogram(
            "hopmail_ledger_write_seconds",
            "One commit of claims and endings, many at a time.",
            buckets=WRITE_BUCKETS,
            registry=registry,
        )

    def wrote(self, seconds: float) -> None:
        """Note how long a commit took."""
        self._writes.observe(seconds)
