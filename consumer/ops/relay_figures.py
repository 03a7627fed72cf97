"""What is counted and timed of the transactions with each relay."""

from collections.abc import Iterable
from functools import cache
from itertools import product

from prometheus_client import CollectorRegistry, Counter

from consumer.core.transaction import TRANSACTION_OUTCOMES, Transaction
from consumer.ops.figures import HANDLING_BUCKETS
from consumer.ops.timings import Timings


class RelayFigures:
    """Counters and histograms of these relays, by their hosts and ports."""

    def __init__(self, registry: CollectorRegistry, relays: Iterable[str]) -> None:
        self._transactions = cache(
            Counter(
                "hopmail_transactions",
                "SMTP transactions, under the worst outcome of their recipients; a relay that could"
                " not be reached counts as well.",
                ("relay", "outcome"),
                registry=registry,
            ).labels
        )
        relays = tuple(relays)
        self._seconds = Timings(
            registry,
            "hopmail_transaction_seconds",
            "From MAIL to the relay's last answer.",
            HANDLING_BUCKETS,
            label="relay",
            values=relays,
        )
        for relay, word in product(relays, TRANSACTION_OUTCOMES.values()):
            self._transactions(relay, word)

    def record(self, transaction: Transaction) -> None:
        """Count a transaction."""
        self._transactions(transaction.relay, transaction.word).inc()
        if transaction.seconds is not None:
            self._seconds.observe(transaction.seconds, transaction.relay)
