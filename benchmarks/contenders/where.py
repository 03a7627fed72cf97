"""Where the contenders' processes find broker and relay: in their environment."""

import os
from collections.abc import Mapping
from typing import Final

AMQP_URL: Final = "BENCH_AMQP_URL"
SMTP_PORT: Final = "BENCH_SMTP_PORT"
WITH_CONFIRMS: Final = "BENCH_WITH_CONFIRMS"


def environment(
    amqp_url: str, smtp_port: int = 0, *, with_confirms: bool = False
) -> Mapping[str, str]:
    """Return the variables that tell a process where things are."""
    told = {AMQP_URL: amqp_url, SMTP_PORT: str(smtp_port)}
    return told | {WITH_CONFIRMS: "yes"} if with_confirms else told


def amqp_url() -> str:
    """Return the broker's URL."""
    return os.environ[AMQP_URL]


def smtp_port() -> int:
    """Return the relay's port on this machine."""
    return int(os.environ[SMTP_PORT])


def with_confirms() -> bool:
    """Whether what is published is to be confirmed by the broker."""
    return WITH_CONFIRMS in os.environ
