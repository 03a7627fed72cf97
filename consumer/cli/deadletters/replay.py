"""`hopmail deadletters replay`: have dead letters sent again."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from consumer.amqp.dead_letters import ACTING, DeadLetters
from consumer.amqp.properties import copy_properties
from consumer.cli.dead_body import BodyWithheld, body_of
from consumer.cli.deadletters.choose import (
    DomainOption,
    IDs,
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
    ask,
    count,
    fail,
    letters,
    opened,
    progress,
    stoppable,
)
from consumer.cli.start import settings_or_exit
from consumer.core.dead_body import BodyState
from consumer.core.dead_letter import DeadLetter, identity, trail_of
from consumer.core.dead_letter_choice import Choice
from consumer.core.delivery import Delivery
from consumer.core.disposition import Reason
from consumer.core.followup import sent_again
from consumer.core.handled import Followup
from consumer.settings import Settings
from publisher_lib.confirms import ConfirmedPublisher

COME_BACK: Final = frozenset(
    {
        Reason.INVALID,
        Reason.INVALID_JSON,
        Reason.TOO_LARGE,
        Reason.MISSING_MESSAGE_ID,
        Reason.UNSUPPORTED_TYPE,
        Reason.UNSUPPORTED_CONTENT,
        Reason.UNDECODABLE_PROPERTIES,
        Reason.EXPIRED,
        Reason.CONFLICT,
    }
)
"""What is wrong is in the message itself."""

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
    plan = Plan(choice, believe)
    with opened(settings) as queue:
        for letter in letters(queue, settings, choice):
            plan.add(letter)
    for line in plan.lines():
        typer.echo(line)
    if dry_run:
        return
    if not plan.total:
        fail("there is nothing to send again")
    slowly = f", {rate:g} a second" if rate else ""
    ask(f"Send {count(plan.total)} again{slowly}?", yes=yes)
    with opened(settings, ACTING) as queue:
        replayed, trouble = _replay(settings, queue, plan, rate)
    left = plan.total - replayed
    typer.echo(f"✓ {count(replayed)} given back to be sent")
    if trouble:
        fail(f"{trouble}; {count(left)} left as they were")
    if left:
        typer.echo(f"  {left} were gone meanwhile")


@dataclass
class Plan:
    """What is to be sent again, and what is not, and why."""

    choice: Choice
    believe: bool
    ids: set[str] = field(default_factory=set)
    """Of the dead letters, not of their messages; two that are alike share one."""
    reasons: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """How many are to be sent again."""
        return self.reasons.total()

    def add(self, letter: DeadLetter) -> None:
        """Take one that was meant into the plan, or leave it."""
        if why := self._why_left(letter):
            self.left[why] += 1
        else:
            self.ids.add(letter.id)
            self.reasons[letter.reason] += 1

    def pick(self, delivery: Delivery) -> Delivery | None:
        """Return a delivery that is in the plan: nothing else that came since."""
        return delivery if identity(delivery) in self.ids else None

    def lines(self) -> Iterator[str]:
        """Return what is to be done, in words."""
        for reason, number in self.reasons.most_common():
            back = "; most likely they come back: see `edit`" if reason in COME_BACK else ""
            yield f"  {number:>6} {reason}{back}"
        for why, number in self.left.most_common():
            yield f"  {number:>6} left as they are: {why}"

    def _why_left(self, letter: DeadLetter) -> str:
        if letter.body is BodyState.REDACTED:
            return "their bodies were not kept"
        if not letter.is_trusted and not self.believe:
            return (
                "no login that is trusted signed their headers; name it in"
                " HOPMAIL_OPERATOR_LOGINS, or say --believe"
            )
        if letter.reason == Reason.IN_DOUBT and Reason.IN_DOUBT not in self.choice.reasons:
            return "in doubt: the relay may have them; see `resolve`, or say --reason in_doubt"
        return ""


def _replay(
    settings: Settings, queue: DeadLetters, plan: Plan, rate: float | None
) -> tuple[int, str]:
    """Send again what is wanted; return how many, and what ended it before its end."""
    publisher = ConfirmedPublisher(settings.amqp_urls, name="hopmail deadletters")
    withheld = ""
    with stoppable() as is_stopped, progress("replaying", plan.total) as step:
        confirmed = Confirmed(queue, step, rate)
        try:
            for delivery in queue.each(plan.pick):
                confirmed.pause()
                if is_stopped() or confirmed.trouble:
                    break
                try:
                    body = body_of(delivery, settings)
                except BodyWithheld as why:
                    # A lost key is no reason to hold back the others.
                    withheld = withheld or f"{delivery.properties.message_id}: {why}"
                    continue
                copy = _copy(settings, delivery)
                confirmed.put(
                    delivery,
                    publisher.submit(
                        copy.exchange,
                        copy.routing_key,
                        copy_properties(delivery, copy, settings.login),
                        body,
                        CONFIRM_SECONDS,
                    ),
                )
            confirmed.finish()
        finally:
            publisher.close(CLOSE_SECONDS)
        stopped = "stopped" if is_stopped() else ""
        return confirmed.count, confirmed.trouble or stopped or withheld


def _copy(settings: Settings, delivery: Delivery) -> Followup:
    now = datetime.now(UTC)
    # Those that are not trusted are not wanted, unless the person believes them.
    return sent_again(delivery, trail_of(delivery, settings.trusted_logins, now, believe=True), now)
