"""A message as the broker handed it over, free of the client library's types."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from consumer.core.record import record
from publisher_lib.routing import Lane


@record
class Properties:
    """The AMQP properties the consumer reads (AMQP 0-9-1 §4.2.6.1)."""

    message_id: str | None = None
    type: str | None = None
    content_type: str | None = None
    content_encoding: str | None = None
    app_id: str | None = None
    user_id: str | None = None
    timestamp_seconds: int | None = None
    headers: Mapping[str, Any] = field(default_factory=dict)
    undecodable: str = ""
    """Why the properties could not be read; empty when they could."""


@record
class Delivery:
    """One handing-over by the broker.

    `tag` is unique within `generation`, the consuming channel it came by: after a reconnect
    the broker counts tags from 1 again, so a tag without its generation acks a stranger.
    """

    lane: Lane
    tag: int
    generation: int
    redelivered: bool
    properties: Properties
    body: bytes
    received_seconds: float
    """On the monotonic clock of the process."""
