"""`hopmail deadletters`: dead letters that wait for a person's word."""

import logging
from datetime import UTC, datetime
from typing import Annotated, NoReturn

import typer

from consumer.amqp.connection import BrokerUnavailable
from consumer.amqp.dead_letters import DeadLetters, dead_letters
from consumer.amqp.properties import copy_properties
from consumer.cli import keygen
from consumer.cli.dead_body import BodyWithheld, body_of
from consumer.cli.start import settings_or_exit
from consumer.core.dead_body import BodyState, state_of
from consumer.core.delivery import Delivery
from consumer.core.disposition import Reason
from consumer.core.exit_code import ExitCode
from consumer.core.followup import REASON, sent_again, sent_again_as
from consumer.core.ledger import Wanted, fingerprint
from consumer.core.trail import Trail, read_trail
from consumer.ledger.by_hand import note_as_sent
from consumer.ledger.opening import LedgerUnusable, open_ledger
from consumer.ledger.store import LedgerTrouble
from consumer.settings import Settings
from publisher_lib.confirms import ConfirmedPublisher
from publisher_lib.errors import PublishError

app = typer.Typer(no_args_is_help=True, help="Dead letters that wait for a person's word.")
app.command()(keygen.keygen)

CONFIRM_SECONDS = 30.0
CLOSE_SECONDS = 5.0


@app.callback()
def deadletters() -> None:
    """Settle dead letters that wait for a person's word."""
    # A person reads our own line; what was logged on the way says it again.
    logging.getLogger().addHandler(logging.NullHandler())


@app.command()
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
        with dead_letters(settings.amqp_urls) as queue:
            found = queue.find(lambda each: each.properties.message_id == message_id)
            held = [each for each in found if _reason(each) is Reason.IN_DOUBT]
            if not held:
                others = "".join(
                    f"; one has the reason `{name}`" for name in sorted(set(map(_reason, found)))
                )
                _fail(f"no dead letter `in_doubt` has the message id {message_id!r}{others}")
            _refuse_untrusted(settings, held)
            held = _of_one_login(settings, held, login)
            (_note_as_sent if sent else _send_again)(settings, queue, held)
    except BrokerUnavailable as error:
        _fail(f"broker: {error}")
    except (LedgerUnusable, LedgerTrouble) as error:
        _fail(f"ledger: {error}; the dead letter is untouched")
    except BodyWithheld as error:
        _fail(f"{message_id}: {error}; the dead letter is untouched")
    except PublishError as error:
        _fail(f"not sent again: {error}")


def _reason(delivery: Delivery) -> Reason | str:
    """Return why it is one: a word of ours, or `unknown`; RabbitMQ's own have none."""
    try:
        return Reason(str(delivery.properties.headers.get(REASON)))
    except ValueError:
        return "unknown"


def _refuse_untrusted(settings: Settings, held: list[Delivery]) -> None:
    for delivery in held:
        if (login := delivery.properties.user_id) not in settings.trusted_logins:
            _fail(
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
        _fail(f"dead letters with this id are of {names}: say which by --login")
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
                generation = sent_again_as(trail).generation
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
            copy = sent_again(delivery, trail)
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
    return read_trail(delivery.properties, settings.trusted_logins, datetime.now(UTC))


def _recipients(trail: Trail) -> str:
    count = len(trail.pending or ())
    return f"{count} recipient{'' if count == 1 else 's'}"


def _fail(line: str) -> NoReturn:
    typer.echo(f"✗ {line}", err=True)
    raise typer.Exit(ExitCode.FAILED) from None
