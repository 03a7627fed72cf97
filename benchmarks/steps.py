"""The steps of the worker's pipeline, each alone, in a process of its own.

`python -m benchmarks.steps COUNT SMTP_PORT FOLDER` prints the CPU time that each takes per mail.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from benchmarks.mail import email
from benchmarks.place import LADDER
from benchmarks.sink import relay_url
from consumer.core.answer import answer_for_all
from consumer.core.compose import compose
from consumer.core.decide import RetryPolicy
from consumer.core.delivery import Delivery, Properties
from consumer.core.endings import settled, unsettled
from consumer.core.envelope import Composed
from consumer.core.handled import Handled
from consumer.core.ledger import Claim, fingerprint
from consumer.core.ledger_url import LedgerURL
from consumer.core.mail import Mail
from consumer.core.outcome import Accepted, Reply
from consumer.core.relay_url import RelayURL
from consumer.ledger.ledger import Ledger
from consumer.ledger.none import NoLedger
from consumer.ledger.opening import open_ledger
from consumer.ops import logs
from consumer.ops.handled import log_handled
from consumer.ops.metrics import Metrics
from consumer.settings.read import read_ladder
from consumer.smtp.relays import Relays
from consumer.worker import Worker
from publisher_lib.encode import encode
from publisher_lib.routing import Lane

OPEN: Final = "fingerprint, trail, decode"
COMPOSE: Final = "compose"
TRANSACT: Final = "SMTP transaction"
DECIDE: Final = "decide and record"
LEDGER: Final = "ledger: claim, dot, answer, end"
LOG: Final = "log line"
METRICS: Final = "metrics"

LOGIN: Final = "webapp"
RETENTION: Final = timedelta(days=14)
GROUP: Final = 64
"""As many as a process holds by default, and so commits together at most."""

LEDGER_SECONDS: Final = 30.0
MICROSECONDS: Final = 1_000_000
ACCEPTED: Final = Accepted(Reply(250, "2.0.0", "Ok"))


@dataclass(frozen=True)
class Bench:
    """What is measured with: the worker and its mails, whose recipients are all granted."""

    worker: Worker
    mails: Sequence[Mail]
    composed: Sequence[Composed]
    handled: Sequence[Handled]


def bench(count: int) -> Bench:
    """Return what so many mails need, whatever is measured of them."""
    worker = Worker(
        RetryPolicy(read_ladder(LADDER), timedelta(days=5)),
        frozenset({"hopmail"}),
        lambda: datetime.now(UTC),
        RETENTION,
    )
    mails = [_granted(_opened(worker, delivery)) for delivery in deliveries(count)]
    handled = [worker.handle(mail, accept) for mail in mails]
    return Bench(
        worker,
        mails,
        [_composed(mail) for mail in mails],
        [each for each in handled if each is not None],
    )


def steps(count: int, smtp_port: int, folder: Path) -> Mapping[str, float]:
    """Return the CPU microseconds per mail of each step."""
    ready = bench(count)
    opening = _per_item(lambda each: _opened(ready.worker, each), deliveries(count))
    composing = _per_item(_composed, ready.mails)
    handling = _per_item(lambda mail: ready.worker.handle(mail, accept), ready.mails)
    return {
        OPEN: opening,
        COMPOSE: composing,
        TRANSACT: transacting(ready, smtp_port, folder),
        DECIDE: handling - composing,
        LEDGER: keeping(ready, folder),
        LOG: logging(ready, folder),
        METRICS: _per_item(Metrics(folder, 0).record, ready.handled),
    }


def transacting(ready: Bench, smtp_port: int, folder: Path) -> float:
    """Hand the mails to the relay over one session."""
    relays = Relays((RelayURL.parse(relay_url(smtp_port)),), folder)
    transactor = relays.transactor(threading.Event())

    def transact(each: Composed) -> object:
        return transactor.transact(each.envelope, each.content, lambda _recipients: True)

    transact(ready.composed[0])
    took = _per_item(transact, ready.composed)
    transactor.close()
    relays.stop()
    return took


def keeping(ready: Bench, folder: Path) -> float:
    """Have the ledger keep the mails, in groups; the time is that of all threads."""
    url = LedgerURL.parse(f"sqlite://{folder / 'ledger.sqlite3'}")
    ledger, hands = open_ledger(url, folder, RETENTION, 1)
    ledger.start(lambda _is_in_trouble: None)
    pairs = list(zip(ready.mails, ready.handled, strict=True))

    def keep(group: Sequence[tuple[Mail, Handled]]) -> None:
        for claim, (_mail, handled) in zip(_claims(ledger, group), group, strict=True):
            ledger.sending(claim, claim.granted)
            ledger.answered(claim, unsettled(claim, handled.verdicts))
            ledger.end(claim, settled(claim, handled.verdicts))

    started = time.process_time()
    for first in range(0, len(pairs), GROUP):
        keep(pairs[first : first + GROUP])
    ledger.close(LEDGER_SECONDS)
    took = time.process_time() - started
    hands.close()
    return took / len(pairs) * MICROSECONDS


def logging(ready: Bench, folder: Path) -> float:
    """Write the log lines into a file."""
    with (folder / "log").open("w") as file, redirect_stdout(file):
        logs.configure("INFO", "json", 0)
        return _per_item(log_handled, ready.handled)


def accept(composed: Composed) -> Any:
    """Stand for a relay that takes every mail."""
    return answer_for_all(composed.envelope.recipients, ACCEPTED)


def deliveries(count: int) -> Iterator[Delivery]:
    """Return deliveries of the usual mail, as the broker hands them over."""
    for number in range(count):
        message = encode(
            email(number), message_id=None, traceparent=None, login=LOGIN, app_id="benchmarks"
        )
        properties = Properties(
            message_id=message.message_id,
            type=message.properties.type,
            content_type=message.properties.content_type,
            app_id=message.properties.app_id,
            user_id=message.properties.user_id,
            timestamp_seconds=message.properties.timestamp,
            headers=message.properties.headers,
        )
        yield Delivery(
            lane=Lane.TRANSACTIONAL,
            tag=number + 1,
            generation=1,
            redelivered=False,
            properties=properties,
            body=message.body,
            received_seconds=time.monotonic(),
        )


def _opened(worker: Worker, delivery: Delivery) -> Mail:
    found = fingerprint(delivery.properties.message_id, delivery.body)
    return worker.open(delivery, found, 0)


def _granted(mail: Mail) -> Mail:
    wanted = mail.wanted
    if wanted is None:
        raise AssertionError("the usual mail is one that can be sent")
    return replace(mail, claim=Claim(wanted, granted=wanted.recipients))


def _composed(mail: Mail) -> Composed:
    if mail.email is None:
        raise AssertionError("the usual mail is one that can be read")
    message_id = mail.delivery.properties.message_id or ""
    return compose(mail.email, message_id, mail.trail.first_published)


def _claims(ledger: Ledger | NoLedger, group: Sequence[tuple[Mail, Handled]]) -> list[Claim]:
    """Ask for the group's recipients, together as they would come, and wait for the answer."""
    granted: Future[list[Claim]] = Future()
    wanted = [mail.wanted for mail, _handled in group if mail.wanted is not None]
    ledger.claim(wanted, lambda claims: granted.set_result(list(claims)))
    return granted.result(LEDGER_SECONDS)


def _per_item(work: Callable[[Any], object], items: Iterable[Any]) -> float:
    """Return the microseconds of CPU that this thread spends on an item."""
    ready = list(items)
    started = time.thread_time()
    for item in ready:
        work(item)
    return (time.thread_time() - started) / len(ready) * MICROSECONDS


def main() -> None:
    """Measure what the arguments ask for."""
    found = steps(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
