"""The Celery contender. `acks_late`: a mail in hand survives its worker, as Hopmail's does."""

from typing import Final

from celery import Celery

from benchmarks.contenders.tasks import send, send_kept
from benchmarks.contenders.where import amqp_url, with_confirms

app: Final = Celery("benchmarks", broker=amqp_url())
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"confirm_publish": True} if with_confirms() else {},
)
usual: Final = app.task(name="usual")(send)
tuned: Final = app.task(name="tuned")(send_kept)
