"""`hopmail deadletters import`: exported dead letters, back into the queue."""

from collections.abc import Iterator
from typing import IO, Annotated, Final

import typer

from consumer.amqp.dead_letters import DeadLetters
from consumer.amqp.properties import copy_properties
from consumer.cli.deadletters.choose import JSONOption
from consumer.cli.deadletters.confirmed import Confirmed
from consumer.cli.deadletters.files import FileArgument, reading
from consumer.cli.deadletters.hands import (
    CLOSE_SECONDS,
    CONFIRM_SECONDS,
    count,
    fail,
    opened,
    progress,
    stoppable,
    tell,
)
from consumer.cli.start import settings_or_exit
from consumer.core.dead_letter import identity, is_trusted
from consumer.core.dead_letter_json import Damaged, import_headers, read_line
from consumer.core.delivery import Delivery
from consumer.core.handled import Followup
from consumer.core.topology import DEAD_KEY
from consumer.settings import Settings
from publisher_lib.confirms import ConfirmedPublisher
from publisher_lib.routing import DEAD_EXCHANGE

SHOWN_DAMAGES: Final = 10


def import_(
    file: FileArgument,
    *,
    again: Annotated[
        bool, typer.Option("--again", help="Also those that lie in the queue already.")
    ] = False,
    as_json: JSONOption = False,
) -> None:
    """Put exported dead letters back into the queue; those that are there are left out.

    Nothing is imported from a file with a damaged line. The queue takes your word for the rest: who
    published them, too.
    """
    settings = settings_or_exit()
    with reading(file) as source:
        total = _check(source)
        with opened(settings) as queue:
            there = None if again else set(queue.each(identity))
            imported, trouble = _import(settings, queue, source, there, total)
    there_already = 0 if trouble else total - imported
    words = f"✓ {count(imported)} imported"
    if there_already:
        words += f"\n  {there_already} lay in the queue already"
    tell(words, as_json=as_json, imported=imported, there_already=there_already)
    if trouble:
        fail(f"{trouble}; run it again for the rest")


def _import(
    settings: Settings, queue: DeadLetters, source: IO[str], there: set[str] | None, total: int
) -> tuple[int, str]:
    publisher = ConfirmedPublisher(settings.amqp_urls, name="hopmail deadletters")
    with stoppable() as is_stopped, progress("importing", total) as step:
        confirmed = Confirmed(queue, step, is_stopped)
        try:
            for delivery in _deliveries(source):
                if not confirmed.may_go_on():
                    break
                if there is not None:
                    if (its := identity(delivery)) in there:
                        continue
                    there.add(its)
                confirmed.put(None, publisher.submit(*_copy(settings, delivery), CONFIRM_SECONDS))
            confirmed.finish()
        finally:
            publisher.close(CLOSE_SECONDS)
        return confirmed.count, confirmed.trouble


def _copy(settings: Settings, delivery: Delivery) -> tuple[str, str, object, bytes]:
    # What nobody vouched for is not vouched for by us.
    signed = is_trusted(delivery.properties, settings.trusted_logins)
    copy = Followup(DEAD_EXCHANGE, DEAD_KEY, import_headers(delivery), is_signed=signed)
    properties = copy_properties(delivery, copy, settings.login)
    return copy.exchange, copy.routing_key, properties, delivery.body


def _check(source: IO[str]) -> int:
    """Return how many lines there are, each a dead letter; exit naming those that are damaged."""
    damages, total = [], 0
    for number, line in enumerate(source, 1):
        if line.strip():
            total += 1
            try:
                read_line(line)
            except Damaged as damage:
                damages.append(f"line {number}: {damage}")
    for told in damages[:SHOWN_DAMAGES]:
        typer.echo(f"✗ {told}", err=True)
    if damages:
        fail(f"{count(len(damages), 'line')} of {total} damaged; nothing was imported")
    return total


def _deliveries(source: IO[str]) -> Iterator[Delivery]:
    source.seek(0)
    return (read_line(line) for line in source if line.strip())
