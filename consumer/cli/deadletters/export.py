"""`hopmail deadletters export`: dead letters as lines of JSON."""

from datetime import UTC, datetime

import typer

from consumer.cli.deadletters.choose import (
    DomainOption,
    IDs,
    LaneOption,
    LoginOption,
    OlderOption,
    ReasonOption,
    chosen,
)
from consumer.cli.deadletters.files import FileArgument, written
from consumer.cli.deadletters.hands import count, opened, progress
from consumer.cli.start import settings_or_exit
from consumer.core.dead_letter import read_dead_letter
from consumer.core.dead_letter_json import export_line
from consumer.core.delivery import Delivery


def export(
    file: FileArgument,
    ids: IDs = None,
    *,
    reasons: ReasonOption = None,
    lanes: LaneOption = None,
    domains: DomainOption = None,
    logins: LoginOption = None,
    older_than: OlderOption = None,
) -> None:
    """Write dead letters, bodies and all, into a file of JSON lines; the queue stays as it is.

    The file may hold secrets: only you can read it.
    """
    choice = chosen(
        ids,
        reasons=reasons,
        lanes=lanes,
        domains=domains,
        logins=logins,
        older_than=older_than,
    )
    settings, now, exported = settings_or_exit(), datetime.now(UTC), 0

    with (
        written(file) as write,
        opened(settings) as queue,
        progress("exporting", queue.count) as step,
    ):

        def look(delivery: Delivery) -> str | None:
            step()
            letter = read_dead_letter(delivery, settings.trusted_logins, now)
            return export_line(delivery) if choice.means(letter, now) else None

        for line in queue.each(look):
            write(line)
            exported += 1
    typer.echo(f"✓ {count(exported)} exported", err=True)
