"""A whole Hopmail service on this machine: broker, mail catcher and consumers."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from consumer.amqp.connection import BrokerUnavailable
from dev.broker import private_node
from dev.consumers import PROCESSES, Consumers, ConsumersFailed, consuming
from dev.folder import InUse, alone_in, empty
from dev.given_broker import VARIABLE, NotForPlay, make_sure_it_is_idle
from dev.installation import BrokerFailed
from dev.relay import Relay, mail_catcher
from dev.terminal import step

DEMO_LADDER: Final = "1s,2s,4s"
RUN_LADDER: Final = "2s,10s,1m"

REFUSED: Final = (InUse, NotForPlay)
"""Raised before anything is started or removed."""

TROUBLE: Final = (BrokerFailed, BrokerUnavailable, ConsumersFailed)


@dataclass(frozen=True)
class Service:
    """What runs, and where. `given_url` is HOPMAIL_AMQP_URL, empty for a private node."""

    amqp_url: str
    given_url: str
    relay: Relay
    consumers: Consumers


@contextmanager
def service(folder: Path, retry_delays: str) -> Iterator[Service]:
    """Run it for the length of a block; mails, log and metrics are kept in `folder`, emptied first.

    The broker is that of HOPMAIL_AMQP_URL, else a private node. Raises one of `REFUSED` or
    `TROUBLE`.
    """
    with ExitStack() as stack:
        stack.enter_context(alone_in(folder))
        amqp_url = given_url = os.environ.get(VARIABLE, "")
        if given_url:
            with step(f"looking at the RabbitMQ of {VARIABLE}"):
                make_sure_it_is_idle(given_url, DEMO_LADDER, RUN_LADDER)
        empty(folder)
        if not given_url:
            with step("starting a private RabbitMQ node"):
                amqp_url = stack.enter_context(private_node()).url
        with step("starting an SMTP server that keeps its mail"):
            relay = stack.enter_context(mail_catcher(folder / "Maildir"))
        with step(f"starting {PROCESSES} consumer processes under supervisor"):
            consumers = stack.enter_context(consuming(amqp_url, relay.url, folder, retry_delays))
            consumers.wait_ready()
        yield Service(amqp_url, given_url, relay, consumers)
        with step("stopping all of it"):
            stack.close()
