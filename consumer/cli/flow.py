"""Puts together what is under way in this process."""

import time
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime

from consumer.amqp.consume import Consumer
from consumer.core.flow import Flow, count_by_lane, oldest_by_lane
from consumer.daemon import PAUSED_HOLD
from consumer.smtp.relays import Relays


def flow(consumer: Consumer, relays: Relays, trusted_logins: AbstractSet[str]) -> Flow:
    """Return what is under way now. To be called in any thread."""
    deliveries = consumer.unacked.deliveries()
    now, now_seconds = datetime.now(UTC), time.monotonic()
    return Flow(
        received=consumer.unacked.received,
        connections=consumer.unacked.connections,
        in_flight=count_by_lane(deliveries),
        prefetch=consumer.prefetch,
        oldest_held=oldest_by_lane(deliveries, trusted_logins, now, now_seconds),
        sessions_open=relays.sessions_open,
        holders=consumer.holders,
        paused=consumer.lanes_held(PAUSED_HOLD),
    )
