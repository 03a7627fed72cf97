"""One attempt at a mail: what it gives each recipient. Its I/O is handed in."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from consumer.core.answer import Answer, answer_for_all
from consumer.core.compose import compose
from consumer.core.crash import place_of
from consumer.core.decode import decode
from consumer.core.delivery import Delivery
from consumer.core.diversion import Diversion, answer_of_originals
from consumer.core.envelope import Composed
from consumer.core.freshness import not_now
from consumer.core.ledger import Claim, Standing
from consumer.core.mail import Mail
from consumer.core.outcome import Barred, Crashed, Duplicate, InDoubt, Outcome
from publisher_lib.message import Email

Transact = Callable[[Composed], Answer | None]
"""Gives each recipient's outcome; None when the transaction was given up before the final dot."""

LOST_ANSWER: Final = "the process that sent it ended before the relay's answer was noted"

DUPLICATES: Final = {
    Standing.DONE: "another copy of it was settled before",
    Standing.DEAD: "another copy of it is a dead letter: send that again, or use a new id",
    Standing.STALE: "a later copy of it is under way",
}


def prepare(mail: Mail, now: datetime, diversion: Diversion | None) -> Mail:
    """Return a mail that is to be sent with what the relay is to get; any other as it came."""
    claim = mail.claim
    if mail.email is None or mail.foregone is not None or claim is None or not claim.granted:
        return mail
    try:
        if not_now(mail.email, now) is not None:
            return mail
        served, _barred = _served(claim.granted, diversion)
        if not served:
            return mail
        return replace(mail, composed=_composed(mail, mail.email, served, diversion))
    except Exception:  # noqa: BLE001 - it fails again, and is told of, when its turn comes
        return mail


def attempt(
    mail: Mail, now: datetime, transact: Transact, diversion: Diversion | None
) -> dict[Outcome, tuple[str, ...]] | None:
    """Return each outcome with its recipients; None when the mail was given back untouched."""
    if mail.foregone is not None:
        return {mail.foregone: mail.pending}
    if mail.email is None:
        return {_undecodable(mail.delivery): mail.pending}
    if mail.claim is None:
        raise AssertionError("a mail that may be sent comes with its claim")
    outcomes = _settled_before(mail.claim)
    if mail.claim.granted:
        found = _serve(mail, mail.email, mail.claim.granted, now, transact, diversion=diversion)
        if found is None:
            return None
        for outcome, recipients in found.items():
            outcomes[outcome] = outcomes.get(outcome, ()) + recipients
    return outcomes


def _undecodable(delivery: Delivery) -> Outcome:
    try:
        found = decode(delivery.properties, delivery.body)
    except Exception as error:  # noqa: BLE001 - a bug must not cost a message
        return Crashed(place_of(error))
    return Crashed("read at the second attempt only") if isinstance(found, Email) else found


def _settled_before(claim: Claim) -> dict[Outcome, tuple[str, ...]]:
    """Return the outcomes of the recipients that must not be served, or not without a thought."""
    outcomes: dict[Outcome, tuple[str, ...]] = {}
    for name, why in claim.skipped.items():
        duplicate = Duplicate(DUPLICATES[why])
        outcomes[duplicate] = (*outcomes.get(duplicate, ()), name)
    if claim.doubtful:
        outcomes[InDoubt(LOST_ANSWER)] = claim.doubtful
    return outcomes


def _serve(
    mail: Mail,
    email: Email,
    recipients: tuple[str, ...],
    now: datetime,
    transact: Transact,
    *,
    diversion: Diversion | None,
) -> dict[Outcome, tuple[str, ...]] | None:
    try:
        if (outcome := not_now(email, now)) is not None:
            return {outcome: recipients}
        served, barred = _served(recipients, diversion)
        if not served:
            return barred
        composed = mail.composed or _composed(mail, email, served, diversion)
    except Exception as error:  # noqa: BLE001 - a bug must not cost a message
        return {Crashed(place_of(error)): recipients}
    answer = _transact(composed, transact)
    if answer is None:
        return None
    return barred | _by_outcome(answer_of_originals(composed, answer))


def _served(
    recipients: tuple[str, ...], diversion: Diversion | None
) -> tuple[tuple[str, ...], dict[Outcome, tuple[str, ...]]]:
    """Return whom the mail is sent for, and the outcome of the others, if there are any."""
    barred = () if diversion is None else diversion.barred(recipients)
    if not barred:
        return recipients, {}
    return tuple(name for name in recipients if name not in barred), {Barred(): barred}


def _composed(
    mail: Mail, email: Email, recipients: tuple[str, ...], diversion: Diversion | None
) -> Composed:
    message_id = mail.delivery.properties.message_id or ""
    composed = compose(email, message_id, mail.trail.first_published)
    if composed.envelope.recipients != recipients:
        composed = replace(composed, envelope=replace(composed.envelope, recipients=recipients))
    return composed if diversion is None else diversion.divert(composed, email)


def _transact(composed: Composed, transact: Transact) -> Answer | None:
    try:
        return transact(composed)
    except Exception as error:  # noqa: BLE001 - a bug in there may have sent it: nobody knows
        outcome = InDoubt(f"our own code raised: {place_of(error)}")
        return answer_for_all(composed.envelope.recipients, outcome)


def _by_outcome(answer: Answer) -> dict[Outcome, tuple[str, ...]]:
    if len(answer) == 1:
        return {answer[0][1]: (answer[0][0],)}
    grouped: dict[Outcome, list[str]] = {}
    for recipient, outcome in answer:
        grouped.setdefault(outcome, []).append(recipient)
    return {outcome: tuple(recipients) for outcome, recipients in grouped.items()}
