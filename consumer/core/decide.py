"""The verdict: what becomes of a delivery, from what happened to it. Pure, and all in one place."""

from datetime import timedelta
from typing import assert_never

from consumer.core.disposition import Ack, DeadLetter, Disposition, Pause, Reason, Retry
from consumer.core.outcome import (
    Accepted,
    Barred,
    Conflict,
    Crashed,
    Duplicate,
    Expired,
    Forgotten,
    InDoubt,
    NotDue,
    Outcome,
    Poisonous,
    Refused,
    Stage,
    Unauthorized,
    Undecodable,
    Unreachable,
)
from consumer.core.record import record
from consumer.core.retry_after import retry_after


@record
class RetryPolicy:
    """How long to wait before each further attempt, and when to stop trying.

    `delays` ascend; each has a retry queue per lane. `max_age` counts as `age` does.
    """

    delays: tuple[timedelta, ...]
    max_age: timedelta

    def step_towards(self, remaining: timedelta) -> timedelta:
        """Return the longest delay within `remaining`, or the shortest of all."""
        return max((delay for delay in self.delays if delay <= remaining), default=self.delays[0])

    def step_after(self, attempt: int, least: timedelta) -> timedelta:
        """Return the delay that follows an attempt, or the first of at least `least`.

        The longest of all where none is: a relay that asks for more is asked once too early.
        """
        steps = self.delays[attempt - 1 :]
        return next((delay for delay in steps if delay >= least), steps[-1])


def decide(  # noqa: C901, PLR0912 - one case per outcome, read as a table
    outcome: Outcome,
    attempt: int,
    age: timedelta,
    policy: RetryPolicy,
    *,
    hold_if_uncertain: bool = False,
    is_login_proven: bool = False,
) -> Disposition:
    """Return what becomes of a delivery after its `attempt`-th attempt, counted from 1.

    `age` counts from when it was published, was to be sent, or a person had it sent again, whatever
    is the latest. Scope comes before severity: the relay's own trouble pauses consuming and spends
    no attempt. A relay that takes our login (`is_login_proven`) and yet wants one for this mail
    refuses the mail.
    """
    match outcome:
        case Accepted() | Duplicate():
            return Ack()
        case Undecodable(defect=defect):
            return DeadLetter(Reason(defect.value))
        case Unauthorized(breach=breach):
            return DeadLetter(Reason(breach.value))
        case Crashed():
            return DeadLetter(Reason.INTERNAL_ERROR)
        case Expired():
            return DeadLetter(Reason.EXPIRED)
        case Conflict():
            return DeadLetter(Reason.CONFLICT)
        case Forgotten():
            return DeadLetter(Reason.TOO_OLD)
        case Poisonous():
            return DeadLetter(Reason.POISON)
        case Barred():
            return DeadLetter(Reason.RECIPIENT_NOT_ALLOWED)
        case NotDue(remaining=remaining):
            return Retry(policy.step_towards(remaining), attempt)
        case Refused(reply=reply) if reply.is_permanent:
            return DeadLetter(Reason.REFUSED)
        case Unreachable(stage=Stage.AUTH) if is_login_proven:
            return _try_again(attempt, age, policy, give_up=Reason.ATTEMPTS_EXHAUSTED)
        case Unreachable(stage=stage) if stage.is_before_mail:
            return Pause()
        case InDoubt() if hold_if_uncertain:
            return DeadLetter(Reason.IN_DOUBT)
        case InDoubt():
            return _try_again(attempt, age, policy, give_up=Reason.IN_DOUBT)
        case Refused(reply=reply) | Unreachable(reply=reply):
            least, give_up = retry_after(reply), Reason.ATTEMPTS_EXHAUSTED
            return _try_again(attempt, age, policy, give_up=give_up, least=least)
        case _:
            assert_never(outcome)


def _try_again(
    attempt: int,
    age: timedelta,
    policy: RetryPolicy,
    *,
    give_up: Reason,
    least: timedelta = timedelta(),
) -> Retry | DeadLetter:
    if attempt > len(policy.delays):
        return DeadLetter(give_up)
    if age > policy.max_age:
        return DeadLetter(Reason.IN_DOUBT if give_up is Reason.IN_DOUBT else Reason.TOO_OLD)
    return Retry(policy.step_after(attempt, least), attempt + 1)
