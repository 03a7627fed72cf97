"""Figures of the contract that no worker writes yet.

Tests skip the rows and the panels that need them. Whoever merges what writes one takes its name
away here; with the last one this module goes.
"""

from collections.abc import Iterable
from typing import Final

TO_COME: Final = frozenset(
    {
        "hopmail_received_total",
        "hopmail_retry_steps_total",
        "hopmail_transactions_total",
        "hopmail_transaction_seconds",
        "hopmail_in_flight",
        "hopmail_prefetch",
        "hopmail_oldest_held_timestamp_seconds",
        "hopmail_sessions_open",
        "hopmail_consuming_held",
        "hopmail_broker_connections_total",
        "hopmail_queue_messages",
        "hopmail_queue_consumers",
        "hopmail_queue_oldest_timestamp_seconds",
        "hopmail_queue_sample_timestamp_seconds",
        "hopmail_ledger_bytes",
        "hopmail_ledger_write_seconds",
        "hopmail_log_messages_total",
        "hopmail_processes",
    }
)


def missing(names: Iterable[str]) -> set[str]:
    """Return those of these metrics that are still to come; a histogram's series count for it."""
    bare = {name: name.removesuffix("_bucket").removesuffix("_count") for name in names}
    return {name for name, base in bare.items() if {name, base} & TO_COME}
