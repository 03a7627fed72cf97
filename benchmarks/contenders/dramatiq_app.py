"""The Dramatiq contender. It acks a message once its actor has returned."""

from typing import Final

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from benchmarks.contenders.tasks import send, send_kept
from benchmarks.contenders.where import amqp_url, with_confirms

broker: Final = RabbitmqBroker(url=amqp_url(), confirm_delivery=with_confirms())
dramatiq.set_broker(broker)
usual: Final = dramatiq.actor(send, actor_name="usual")
tuned: Final = dramatiq.actor(send_kept, actor_name="tuned")
