"""A whole Hopmail service on this machine: broker, mail catcher and consumers."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from consumer.amqp.connection import BrokerUnavailable
from dev.broker import BrokerFailed, private_node
from dev.connect import connected
from dev.consumers import PROCESSES, Consumers, ConsumersFailed, consuming
from dev.relay import Relay, mail_catcher
from dev.terminal import step

TROUBLE: Final = (BrokerFailed, BrokerUnavailable, ConsumersFailed)


@dataclass(frozen=True)
class Service:
    """What runs, and where."""

    amqp_url: str
    relay: Relay
    consumers: Consumers


@contextmanager
def service(folder: Path, retry_delays: str) -> Iterator[Service]:
    """Run it for the length of a block; mails, log and metrics are kept in `folder`.

    The broker is that of HOPMAIL_AMQP_URL, else a private node. Raises one of `TROUBLE`.
    """
    with ExitStack() as stack:
        amqp_url = os.environ.get("HOPMAIL_AMQP_URL")
        if amqp_url:
            with step("trying the RabbitMQ of HOPMAIL_AMQP_URL"), connected(amqp_url):
                pass
        else:
            with step("starting a private RabbitMQ node"):
                amqp_url = stack.enter_context(private_node()).url
        with step("starting an SMTP server that keeps its mail"):
            relay = stack.enter_context(mail_catcher(folder / "Maildir"))
        with step(f"starting {PROCESSES} consumer processes under supervisor"):
            consumers = stack.enter_context(consuming(amqp_url, relay.url, folder, retry_delays))
            consumers.wait_ready()
        yield Service(amqp_url, relay, consumers)
        with step("stopping all of it"):
            stack.close()
