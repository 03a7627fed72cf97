"""`hopmail topology migrate`: what waits in queues of an earlier layout goes to today's."""

import json
import sys
from typing import Annotated, Any, Final, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from consumer.amqp import declare
from consumer.amqp.connection import BrokerUnavailable
from consumer.amqp.migrate import Moved, move
from consumer.amqp.migrated_copy import Signing
from consumer.amqp.old_queues import MigrationStopped, find, unbind
from consumer.cli.start import settings_or_exit
from consumer.core.exit_code import ExitCode
from consumer.core.ledger_url import LedgerKind
from consumer.core.migration import Pair, pair, pairs
from consumer.core.topology import Topology, topology
from consumer.core.waiting import Count
from consumer.settings import Settings
from publisher_lib.errors import PublishError

Old = Annotated[
    str | None,
    typer.Argument(help="The queue to empty; by default each earlier version of today's queues."),
]
New = Annotated[
    str | None, typer.Argument(help="The queue to fill; by default the one of today that OLD was.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be moved.")]
RebindOnly = Annotated[
    bool,
    typer.Option(
        "--rebind-only", help="Have new mail go to the new queues, and move nothing: consumers do."
    ),
]
WhileConsumed = Annotated[
    bool, typer.Option("--while-consumed", help="Move although consumers are on the old queue.")
]
GiveUpUntrusted = Annotated[
    bool,
    typer.Option(
        "--give-up-untrusted",
        help="Dead-letter copies of a consumer whose login is not believed; else they stop it.",
    ),
]
AsJSON = Annotated[bool, typer.Option("--json", help="For scripts: one JSON object.")]

NO_LEDGER: Final = (
    "HOPMAIL_LEDGER_URL is none: a message that is in both queues for a moment is sent twice"
)


def migrate(
    old: Old = None,
    new: New = None,
    *,
    dry_run: DryRun = False,
    rebind_only: RebindOnly = False,
    while_consumed: WhileConsumed = False,
    give_up_untrusted: GiveUpUntrusted = False,
    as_json: AsJSON = False,
) -> None:
    """Move what waits in queues of an earlier layout into today's; deletes nothing.

    Today's queues are made, and new mail goes to them alone from then on.
    Each message of an old queue is published to the new one, with its
    properties and in its order, and acked once the broker has confirmed it.

    It may be killed and run again at any time: a few messages may then be in
    both queues, and the ledger has each sent once. What waits in a retry queue
    waits its delay once more.

    Run it with the consumer's HOPMAIL_AMQP_URL; or name the login you use in
    the consumers' HOPMAIL_OPERATOR_LOGINS, and the consumers' login in yours.
    """
    settings = settings_or_exit()
    wanted = topology(settings.retry_delays)
    try:
        chosen = [pair(wanted, old, new)] if old else list(pairs(wanted))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    signing = Signing(settings.login, settings.trusted_logins, give_up_untrusted)
    try:
        _Migration(settings, wanted, chosen, signing, as_json=as_json).run(
            is_named=old is not None,
            dry_run=dry_run,
            rebind_only=rebind_only,
            alone=not while_consumed,
        )
    except BrokerUnavailable as error:
        _fail(f"broker: {error}; what is moved is moved, run this again for the rest")
    except PublishError as error:
        _fail(f"not published: {error}; it is still in the old queue, run this again")
    except MigrationStopped as error:
        _fail(str(error))


class _Migration:
    """The steps, and what is told of them."""

    def __init__(
        self,
        settings: Settings,
        wanted: Topology,
        chosen: list[Pair],
        signing: Signing,
        *,
        as_json: bool,
    ) -> None:
        self._settings = settings
        self._urls = settings.amqp_urls
        self._wanted = wanted
        self._chosen = chosen
        self._signing = signing
        self._as_json = as_json
        self._told: list[dict[str, Any]] = []

    def run(self, *, is_named: bool, dry_run: bool, rebind_only: bool, alone: bool) -> None:
        """Look, rebind, move, report."""
        found = find(self._urls, [each.old for each in self._chosen])
        there = [each for each in self._chosen if each.old in found]
        if is_named and not there:
            raise MigrationStopped(f"there is no queue {self._chosen[0].old}")
        if not dry_run:
            if alone and not rebind_only:
                _refuse_consumed(there, found)
            self._rebind(there)
        for each in there:
            if dry_run or rebind_only:
                self._tell_waiting(each, found[each.old], dry_run=dry_run)
            else:
                self._move(each, found[each.old], alone=alone)
        if self._as_json:
            typer.echo(json.dumps({"queues": self._told}, indent=2))
        elif not there:
            typer.echo("✓ no queue of an earlier layout is there")

    def _rebind(self, there: list[Pair]) -> None:
        if self._settings.ledger.kind is LedgerKind.NONE:
            typer.echo(f"! {NO_LEDGER}", err=True)
        try:
            declare.apply(self._urls, self._wanted)
        except declare.TopologyMismatch as mismatch:
            for difference in mismatch.differences:
                typer.echo(f"✗ {difference}", err=True)
            raise typer.Exit(ExitCode.CONFIG) from None
        # In this order: between the two a message goes to both, else it could go nowhere.
        unbind(self._urls, there)

    def _tell_waiting(self, each: Pair, count: Count, *, dry_run: bool) -> None:
        self._note(each, count, Moved())
        by = f", consumed by {count.consumers}" if count.consumers else ""
        done = "would be moved" if dry_run else "left; new mail goes to the new queue"
        self._say(f"{each.old} → {each.new.name}: {_messages(count.messages)} {done}{by}")

    def _move(self, each: Pair, count: Count, *, alone: bool) -> None:
        with self._progress() as progress:
            task = progress.add_task(each.old, total=count.messages)
            moved = move(
                self._urls, each, self._signing, lambda: progress.advance(task), alone=alone
            )
        self._note(each, count, moved)
        dead = f", {moved.dead} of them as dead letters" if moved.dead else ""
        self._say(f"✓ {each.old} → {each.new.name}: {_messages(moved.messages)} moved{dead}")
        self._say(f"  {each.old} is empty: once it stays so, rabbitmqctl delete_queue {each.old}")

    def _progress(self) -> Progress:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        console = Console(stderr=True)
        return Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty())

    def _note(self, each: Pair, count: Count, moved: Moved) -> None:
        self._told.append(
            {
                "old": each.old,
                "new": each.new.name,
                "waited": count.messages,
                "consumers": count.consumers,
                "moved": moved.messages,
                "dead_lettered": moved.dead,
            }
        )

    def _say(self, line: str) -> None:
        if not self._as_json:
            typer.echo(line)


def _refuse_consumed(there: list[Pair], found: dict[str, Count]) -> None:
    consumed = [each.old for each in there if found[each.old].consumers]
    if consumed:
        raise MigrationStopped(
            f"consumers are on {', '.join(consumed)}: stop them first. To have new mail go to the"
            " new queues while they empty the old ones, say --rebind-only; to move beside them,"
            " --while-consumed. Nothing was changed"
        )


def _messages(count: int) -> str:
    return f"{count} message{'' if count == 1 else 's'}"


def _fail(line: str) -> NoReturn:
    typer.echo(f"✗ {line}", err=True)
    raise typer.Exit(ExitCode.FAILED) from None
