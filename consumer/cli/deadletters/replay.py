"""`hopmail deadletters replay`: have dead letters sent again."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from consumer.amqp.dead_letters import ACTING
from consumer.amqp.properties import copy_properties
from consumer.cli.dead_body import BodyWithheld, body_of
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
from consumer.cli.deadletters.confirmed import Confirmed
from consumer.cli.deadletters.hands import (
    CLOSE_SECONDS,
    CONFIRM_SECONDS,
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
from consumer.cli.deadletters.wording import plain
from consumer.cli.start import settings_or_exit
from consumer.core.dead_letter import trail_of
from consumer.core.dead_letter_replay import ReplayPlan
from consumer.core.delivery import Delivery
from consumer.core.followup import sent_again
from consumer.core.handled import Followup
from consumer.settings import Settings
from publisher_lib.confirms import ConfirmedPublisher

ROUND_SECONDS: Final = 600.0
"""After which all is given back and taken anew: RabbitMQ's consumer timeout is 30 minutes."""

RateOption = Annotated[
    float | None,
    typer.Option("--rate", min=0.1, max=10_000, help="So many per second at most."),
]
BelieveOption = Annotated[
    bool,
    typer.Option(
        "--believe",
        help="Also those whose headers no trusted login signed: you know that they are true.",
    ),
]


def replay(
    ids: IDs = None,
    *,
    reasons: ReasonOption = None,
    lanes: LaneOption = None,
    domains: DomainOption = None,
    logins: LoginOption = None,
    older_than: OlderOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Every dead letter.")] = False,
    rate: RateOption = None,
    believe: BelieveOption = False,
    yes: YesOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    as_json: JSONOption = False,
) -> None:
    """Send dead letters again: each goes back to its lane, from its first attempt on.

    Nobody gets a message twice that the relay took: the ledger knows who has it. Those `in_doubt`
    are left, unless you name them by --reason in_doubt: see `resolve`.
    """
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
    settings = settings_or_exit()
    plan = ReplayPlan(choice, believe)
    with opened(settings) as queue:
        for letter in letters(queue, settings, choice):
            plan.add(letter)
    _show(plan, as_json=as_json)
    if dry_run:
        words = f"{count(plan.total)} would be sent again; nothing was done"
        tell(words, as_json=as_json, **_facts(plan, 0))
        return
    slowly = f", {rate:g} a second" if rate else ""
    ask(f"Send {count(plan.total)} again{slowly}?", yes=yes, as_json=as_json)
    _tell(plan, *_replay(settings, plan, rate), as_json=as_json)


def _show(plan: ReplayPlan, *, as_json: bool) -> None:
    """Show what is meant; exit where nothing of it can be done."""
    if not as_json:
        for line in plan.lines():
            typer.echo(line)
    meant = plan.total + plan.left.total()
    leave_if_none(meant, plan.choice, as_json=as_json, **_facts(plan, 0))
    if not plan.total:
        fail("none of them can be sent again as it is")


def _tell(plan: ReplayPlan, replayed: int, trouble: str, *, as_json: bool) -> None:
    left = plan.total - replayed
    words = f"✓ {count(replayed)} given back to be sent" if replayed else ""
    if left and not trouble:
        words = f"{words}\n  {left} were gone meanwhile".lstrip("\n")
    tell(words, as_json=as_json, **_facts(plan, replayed))
    if trouble:
        fail(f"{trouble}; {count(left)} left in the queue")


def _facts(plan: ReplayPlan, replayed: int) -> dict[str, object]:
    return {"replayed": replayed, "left": plan.total - replayed, "not_sent_again": dict(plan.left)}


def _replay(settings: Settings, plan: ReplayPlan, rate: float | None) -> tuple[int, str]:
    """Send again what is wanted; return how many, and what ended it before its end."""
    publisher = ConfirmedPublisher(settings.amqp_urls, name="hopmail deadletters")
    replayed, is_over = 0, False
    withheld: list[str] = []
    with progress("replaying", plan.total) as step:
        try:
            while not is_over:
                with opened(settings, ACTING) as queue, stoppable() as is_stopped:
                    confirmed = Confirmed(queue, step, is_stopped, rate)
                    agreed = agreed_ones(queue, settings, plan.agreed)
                    is_over = _round(settings, agreed, publisher, confirmed, withheld)
                replayed += confirmed.count
        finally:
            publisher.close(CLOSE_SECONDS)
    return replayed, confirmed.trouble or next(iter(withheld), "")


def _round(
    settings: Settings,
    deliveries: Iterator[Delivery],
    publisher: ConfirmedPublisher,
    confirmed: Confirmed,
    withheld: list[str],
) -> bool:
    """Send again for as long as the broker leaves the others unacked; return whether it is over.

    `withheld` gets why a body is not to be had: a lost key is no reason to hold back the others.
    """
    until = time.monotonic() + ROUND_SECONDS
    for delivery in deliveries:
        if not confirmed.may_go_on():
            break
        try:
            body = body_of(delivery, settings)
        except BodyWithheld as why:
            withheld.append(f"{plain(delivery.properties.message_id or '')}: {why}")
            continue
        copy = _copy(settings, delivery)
        properties = copy_properties(delivery, copy, settings.login)
        confirmed.put(
            delivery,
            publisher.submit(copy.exchange, copy.routing_key, properties, body, CONFIRM_SECONDS),
        )
        if time.monotonic() > until:
            break
    else:
        confirmed.finish()
        return True
    confirmed.finish()
    return bool(confirmed.trouble)


def _copy(settings: Settings, delivery: Delivery) -> Followup:
    now = datetime.now(UTC)
    # Those that are not trusted are not wanted, unless the person believes them.
    return sent_again(delivery, trail_of(delivery, settings.trusted_logins, now, believe=True), now)
