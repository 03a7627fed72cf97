"""`hopmail deadletters purge`: remove dead letters for good."""

from collections import Counter
from datetime import UTC, datetime
from typing import Annotated

import typer

from consumer.amqp.dead_letters import DeadLetters
from consumer.cli.deadletters.choose import (
    DomainOption,
    IDs,
    JSONOption,
    LaneOption,
    LoginOption,
    OlderOption,
    ReasonOption,
    YesOption,
    chosen,
)
from consumer.cli.deadletters.hands import (
    agreed_ones,
    ask,
    count,
    fail,
    leave_if_none,
    letters,
    opened,
    progress,
    stoppable,
    tell,
)
from consumer.cli.start import settings_or_exit
from consumer.core.dead_letter_choice import Agreed, age_group
from consumer.settings import Settings


def purge(
    ids: IDs = None,
    *,
    reasons: ReasonOption = None,
    lanes: LaneOption = None,
    domains: DomainOption = None,
    logins: LoginOption = None,
    older_than: OlderOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Every dead letter.")] = False,
    yes: YesOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    as_json: JSONOption = False,
) -> None:
    """Remove dead letters for good: nobody will get them. `export` keeps them in a file first."""
    choice = chosen(
        ids,
        reasons=reasons,
        lanes=lanes,
        domains=domains,
        logins=logins,
        older_than=older_than,
    )
    if choice.is_open != everything:
        raise typer.BadParameter("say which by an id or an option, or --all")
    settings, now = settings_or_exit(), datetime.now(UTC)
    agreed = Agreed()
    groups: Counter[tuple[str, str]] = Counter()
    with opened(settings) as queue:
        for letter in letters(queue, settings, choice):
            agreed.add(letter)
            groups[letter.reason, age_group(letter, now)] += 1
        there = queue.count
    if not as_json:
        for (reason, age), number in groups.most_common():
            typer.echo(f"  {number:>6} {reason}, dead {age}")
    total = groups.total()
    leave_if_none(total, choice, as_json=as_json, removed=0, left=0)
    if dry_run:
        words = f"{count(total)} would be removed; nothing was done"
        tell(words, as_json=as_json, removed=0, left=total)
        return
    ask(f"Remove {total} of {count(there)} for good?", yes=yes, as_json=as_json)
    with opened(settings) as queue:
        removed, stopped = _purge(settings, queue, agreed, total)
    tell(f"✓ {count(removed)} removed", as_json=as_json, removed=removed, left=total - removed)
    if stopped:
        fail(f"stopped; {count(total - removed)} left in the queue")


def _purge(settings: Settings, queue: DeadLetters, agreed: Agreed, total: int) -> tuple[int, bool]:
    """Remove what was shown; return how many, and whether it was stopped."""
    removed = 0
    with stoppable() as is_stopped, progress("removing", total) as step:
        for delivery in agreed_ones(queue, settings, agreed):
            if is_stopped():
                return removed, True
            queue.ack(delivery)
            removed += 1
            step()
    return removed, False
