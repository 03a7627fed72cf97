"""Why an outcome has its verdict, in one sentence. Pure."""

from datetime import timedelta
from typing import assert_never

from consumer.core.disposition import Ack, DeadLetter, Disposition, Pause, Reason, Retry
from consumer.core.durations import format_duration, spell_duration
from consumer.core.outcome import Accepted, InDoubt, Refused, Stage, TransactionOutcome, Unreachable
from consumer.core.retry_after import retry_after

WHY_DEAD = {
    Reason.REFUSED: "the relay refuses it for good (5yz), so to try again is pointless",
    Reason.ATTEMPTS_EXHAUSTED: "it is the last attempt of the ladder",
    Reason.TOO_OLD: "it is older than HOPMAIL_MAX_AGE, so it is not tried again",
    Reason.IN_DOUBT: "nobody can know whether the relay took it, and it is not sent once more",
}


def why(outcome: TransactionOutcome, disposition: Disposition) -> str:
    """Return the sentence."""
    match disposition:
        case Ack():
            return "the relay took the mail (2yz after the final dot)"
        case Pause():
            return "that is the relay's own trouble, and says nothing about the mail: it is kept"
        case DeadLetter(reason=reason):
            return WHY_DEAD[reason]
        case Retry(delay=delay):
            return f"{_why_again(outcome)}: it comes back after {_after(outcome, delay)}"
        case _:
            assert_never(disposition)


def opens_breaker(disposition: Disposition) -> bool:
    """Whether the relay is taken to be in trouble, so that no mail is tried with it."""
    return isinstance(disposition, Pause)


def _why_again(outcome: TransactionOutcome) -> str:
    match outcome:
        case InDoubt():
            return "nobody can know whether the relay took it, and it may be sent twice"
        case Unreachable(stage=Stage.RCPT | Stage.DATA):
            return "the relay wants a login for this mail, or was lost, and took nothing"
        case Unreachable():
            return "the relay was lost before the final dot, and took nothing"
        case Refused() | Accepted():
            # Nothing that was accepted comes back; the types do not say so.
            return "the relay refuses it for now (4yz)"
        case _:
            assert_never(outcome)


def _after(outcome: TransactionOutcome, delay: timedelta) -> str:
    reply = outcome.reply if isinstance(outcome, Refused | Unreachable) else None
    asked, after = retry_after(reply), format_duration(delay)
    if asked > delay:
        return f"{after}, the longest there is, though the relay asks for {spell_duration(asked)}"
    return f"{after}, as the relay asks for {spell_duration(asked)}" if asked else after
