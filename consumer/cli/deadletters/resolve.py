"""`hopmail deadletters resolve`: a person's word on what nobody could know."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from consumer.amqp.dead_letters import DeadLetters
from consumer.amqp.properties import copy_properties
from consumer.cli.dead_body import BodyWithheld, body_of
from consumer.cli.deadletters.hands import CLOSE_SECONDS, CONFIRM_SECONDS, count, fail, opened
from consumer.cli.start import settings_or_exit
from consumer.core.dead_body import BodyState, state_of
from consumer.core.dead_letter import trail_of
from consumer.core.death import reason_of
from consumer.core.delivery import Delivery
from consumer.core.disposition import Reason
from consumer.core.followup import sent_again, sent_again_as
from consumer.core.ledger import Wanted, fingerprint
from consumer.core.trail import Trail
from consumer.ledger.by_hand import note_as_sent
from consumer.ledger.opening import LedgerUnusable, open_ledger
from consumer.ledger.store import LedgerTrouble
from consumer.settings import Settings
from publisher_lib.confirms import ConfirmedPublisher


def resolve(
    message_id: Annotated[str, typer.Argument(help="Of the dead letter `in_doubt`.")],
    *,
    sent: Annotated[bool, typer.Option("--sent", help="The relay took it: forget it.")] = False,
    resend: Annotated[bool, typer.Option("--resend", help="It did not: send it again.")] = False,
    login: Annotated[
        str | None, typer.Option(help="Of the app, where several have used this id.")
    ] = None,
) -> None:
    """Say what became of a mail that was held because nobody could know."""
    if sent == resend:
        raise typer.BadParameter("say either --sent or --resend")
    settings = settings_or_exit()
    try:
        with opened(settings) as queue:
            found = queue.find(lambda each: each.properties.message_id == message_id)
            held = [each for each in found if reason_of(each) == Reason.IN_DOUBT]
            if not held:
                others = "".join(
                    f"; one has the reason `{name}`" for name in sorted(set(map(reason_of, found)))
                )
                fail(f"no dead letter `in_doubt` has the message id {message_id!r}{others}")
            _refuse_untrusted(settings, held)
            held = _of_one_login(settings, held, login)
            (_note_as_sent if sent else _send_again)(settings, queue, held)
    except (LedgerUnusable, LedgerTrouble) as error:
        fail(f"ledger: {error}; the dead letter is untouched")
    except BodyWithheld as error:
        fail(f"{message_id}: {error}; the dead letter is untouched")


def _refuse_untrusted(settings: Settings, held: list[Delivery]) -> None:
    for delivery in held:
        if (login := delivery.properties.user_id) not in settings.trusted_logins:
            fail(
                f"its headers were written by the login {login!r}, which is not the consumer's:"
                " use the consumer's HOPMAIL_AMQP_URL, or name that login in"
                " HOPMAIL_OPERATOR_LOGINS"
            )


def _of_one_login(settings: Settings, held: list[Delivery], login: str | None) -> list[Delivery]:
    """Return those of an app's login: a message id is unique per login only."""
    logins = sorted({_trail(settings, each).login or "" for each in held})
    if login is None and len(logins) == 1:
        return held
    if login not in logins:
        names = ", ".join(map(repr, logins))
        fail(f"dead letters with this id are of {names}: say which by --login")
    return [each for each in held if (_trail(settings, each).login or "") == login]


def _note_as_sent(settings: Settings, queue: DeadLetters, held: list[Delivery]) -> None:
    ledger, hands = open_ledger(
        settings.ledger, settings.state_dir, settings.ledger_retention, slots=1
    )
    ledger.start(lambda _is_in_trouble: None)
    try:
        for delivery in held:
            message_id, trail = delivery.properties.message_id or "", _trail(settings, delivery)
            late: tuple[str, ...] = ()
            # Of what was redacted no copy can be sent any more: nothing is to be noted against it.
            if state_of(delivery.body) is not BodyState.REDACTED:
                mark = fingerprint(message_id, body_of(delivery, settings))
                # No later than that of --resend, passed over otherwise if this is interrupted.
                generation = sent_again_as(delivery, trail, datetime.now(UTC)).generation
                wanted = Wanted(trail.key(message_id), generation, mark, trail.pending or ())
                late = note_as_sent(ledger, wanted)
            queue.ack(delivery)
            typer.echo(f"✓ {message_id}: taken as sent to {_recipients(trail)}")
            if late:
                typer.echo(f"  to {len(late)} of them a later copy is under way all the same")
    finally:
        ledger.close(CLOSE_SECONDS)
        hands.close()


def _send_again(settings: Settings, queue: DeadLetters, held: list[Delivery]) -> None:
    publisher = ConfirmedPublisher(settings.amqp_urls, name="hopmail deadletters")
    try:
        for delivery in held:
            trail = _trail(settings, delivery)
            body = body_of(delivery, settings)
            copy = sent_again(delivery, trail, datetime.now(UTC))
            publisher.submit(
                copy.exchange,
                copy.routing_key,
                copy_properties(delivery, copy, settings.login),
                body,
                CONFIRM_SECONDS,
            ).result()
            queue.ack(delivery)
            typer.echo(
                f"✓ {delivery.properties.message_id}: given back to be sent to {_recipients(trail)}"
            )
    finally:
        publisher.close(CLOSE_SECONDS)


def _trail(settings: Settings, delivery: Delivery) -> Trail:
    return trail_of(delivery, settings.trusted_logins, datetime.now(UTC))


def _recipients(trail: Trail) -> str:
    return count(len(trail.pending or ()), "recipient")
