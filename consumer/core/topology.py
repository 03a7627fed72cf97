"""The exchanges and queues, as data: what `declare` makes and `check` compares with the broker."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from consumer.core.durations import format_duration
from consumer.core.record import record
from publisher_lib.routing import DEAD_EXCHANGE, EXCHANGE, RETRY_EXCHANGE, Lane

DEAD_QUEUE: Final = "email.dead.v1"
DEAD_KEY: Final = "dead"

BACKSTOP_DELIVERY_LIMIT: Final = 1000
"""RabbitMQ 4's default of 20 would dead-letter healthy mail after twenty worker restarts."""

UNLIMITED: Final = 2147483647
"""The largest limit the broker takes; -1 is accepted by 3.10 and loses at the first requeue."""


@record
class Queue:
    """A durable queue, its arguments, and the exchange and key it is bound by."""

    name: str
    arguments: Mapping[str, str | int]
    exchange: str
    routing_key: str


@record
class Topology:
    """Everything Hopmail needs on the broker. Exchanges are direct and durable."""

    exchanges: tuple[str, ...]
    queues: tuple[Queue, ...]


def lane_queue(lane: Lane) -> str:
    """Return the name of a lane's queue; a change of its arguments needs a new version."""
    return f"email.{lane}.v1"


def retry_queue(lane: Lane, delay: timedelta) -> str:
    """Return the name of the queue where a lane's messages wait for `delay`."""
    return f"email.{lane}.retry.{format_duration(delay)}.v1"


def retry_key(lane: Lane, delay: timedelta) -> str:
    """Return the routing key of `retry_queue` in the retry exchange."""
    return f"{lane}.{format_duration(delay)}"


def retry_delay(exchange: str, routing_key: str) -> str | None:
    """Return the delay in a `retry_key`, as its queue's name has it; None for another exchange."""
    return routing_key.partition(".")[2] if exchange == RETRY_EXCHANGE else None


def topology(delays: tuple[timedelta, ...]) -> Topology:
    """Return the topology for a ladder of retry delays."""
    lanes = (_lane(lane) for lane in Lane)
    ladder = (_retry(lane, delay) for lane in Lane for delay in delays)
    return Topology((EXCHANGE, RETRY_EXCHANGE, DEAD_EXCHANGE), (_dead(), *lanes, *ladder))


def _lane(lane: Lane) -> Queue:
    arguments = {
        **_dead_lettering_to(DEAD_EXCHANGE, DEAD_KEY),
        "x-delivery-limit": BACKSTOP_DELIVERY_LIMIT,
    }
    return Queue(lane_queue(lane), arguments, EXCHANGE, lane)


def _retry(lane: Lane, delay: timedelta) -> Queue:
    arguments = {
        **_dead_lettering_to(EXCHANGE, lane),
        "x-message-ttl": int(delay.total_seconds() * 1000),
        "x-delivery-limit": UNLIMITED,
    }
    return Queue(retry_queue(lane, delay), arguments, RETRY_EXCHANGE, retry_key(lane, delay))


def _dead() -> Queue:
    arguments: dict[str, str | int] = {"x-queue-type": "quorum", "x-delivery-limit": UNLIMITED}
    return Queue(DEAD_QUEUE, arguments, DEAD_EXCHANGE, DEAD_KEY)


def _dead_lettering_to(exchange: str, routing_key: str) -> dict[str, str | int]:
    # at-least-once holds only with reject-publish: with drop-head the broker falls back to
    # at-most-once without a word (https://www.rabbitmq.com/docs/quorum-queues#dead-lettering).
    return {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": exchange,
        "x-dead-letter-routing-key": str(routing_key),
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
