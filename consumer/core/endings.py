"""How a claim on the ledger ends, from what was decided for each recipient."""

from collections.abc import Iterable

from consumer.core.disposition import DeadLetter, Reason, Retry
from consumer.core.handled import Verdict
from consumer.core.ledger import Claim, Ending, Generation, State
from consumer.core.outcome import Accepted, InDoubt


def settled(claim: Claim, verdicts: Iterable[Verdict]) -> dict[str, Ending]:
    """Return the endings of a claim whose every follow-up is on the broker."""
    endings = unsettled(claim, verdicts)
    epoch, attempt = generation = claim.wanted.generation
    for verdict in verdicts:
        match verdict.disposition:
            case Retry(attempt=attempt):
                ending = Ending(State.OPEN, Generation(epoch, attempt))
            case DeadLetter(reason=Reason.IN_DOUBT):
                ending = Ending(State.HELD, generation)
            case DeadLetter():
                ending = Ending(State.DEAD, generation)
            case _:
                continue
        endings.update(dict.fromkeys(endings.keys() & set(verdict.recipients), ending))
    return endings


def unsettled(claim: Claim, verdicts: Iterable[Verdict] = ()) -> dict[str, Ending]:
    """Return the endings of a claim of which only the outcomes are known, if even those."""
    generation = claim.wanted.generation
    endings = dict.fromkeys(claim.granted, Ending(State.OPEN, generation))
    endings |= dict.fromkeys(claim.doubtful, Ending(State.DOUBTFUL, generation))
    for verdict in verdicts:
        match verdict.outcome:
            case Accepted(reply=reply):
                ending = Ending(State.ACCEPTED, generation, str(reply))
            case InDoubt(detail=detail):
                ending = Ending(State.DOUBTFUL, generation, detail)
            case _:
                continue
        endings.update(dict.fromkeys(endings.keys() & set(verdict.recipients), ending))
    return endings
