"""What becomes of dead letters' bodies, as the settings say; and back to what they were."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

import typer

from consumer.amqp.settle import Close, as_it_is
from consumer.core.contract import MAX_BODY_BYTES
from consumer.core.dead_body import BODY, BODY_KEY, BodyState, context, read_sealed, state_of
from consumer.core.delivery import Delivery
from consumer.core.exit_code import ExitCode
from consumer.core.handled import Followup
from consumer.core.seal_keys import MAKE_ONE
from consumer.core.trail import LOGIN
from consumer.ops.redact import hushed, nameless, outline
from consumer.settings import Settings
from publisher_lib.routing import DEAD_EXCHANGE

NO_EXTRA: Final = (
    "sealed bodies need the extra: pip install -c constraints.txt '.[consumer,encrypt]'"
)

Seal = Callable[[bytes, bytes], bytes]


class BodyWithheld(Exception):
    """A dead letter's own body cannot be had; the text says why, and what to do."""


class SealUnusable(Exception):
    """Bodies cannot be sealed as it is set up; the text says what to do."""


def body_of(delivery: Delivery, settings: Settings) -> bytes:
    """Return the body that a dead letter had as a message. Raises BodyWithheld."""
    match state_of(delivery.body):
        case BodyState.KEPT:
            return delivery.body
        case BodyState.REDACTED:
            raise BodyWithheld("its body was not kept (HOPMAIL_DEADLETTER_BODY=redact)")
        case BodyState.ENCRYPTED:
            return _opened(delivery, settings)


def closer(settings: Settings) -> Close:
    """Return what gives a follow-up the body that the settings ask for. Raises SealUnusable."""
    match settings.deadletter_body:
        case "redact":
            return partial(_closed, redacted)
        case "encrypt":
            seal = sealer(settings)
            return partial(_closed, lambda delivery, letter: _sealed(delivery, letter, seal))
        case _:
            return partial(_closed, as_it_is)


def closer_or_exit(settings: Settings) -> Close:
    """Return what gives a follow-up its body; say why and exit with 78 where that cannot be."""
    try:
        return closer(settings)
    except SealUnusable as unusable:
        typer.echo(f"✗ HOPMAIL_DEADLETTER_BODY: {unusable}", err=True)
        raise typer.Exit(ExitCode.CONFIG) from None


def sealer(settings: Settings) -> Seal:
    """Return what seals a body for a context, once tried. Raises SealUnusable."""
    key = settings.deadletter_seal_key
    if key is None:
        raise SealUnusable(f"encrypt needs HOPMAIL_DEADLETTER_SEAL_KEY; {MAKE_ONE}")
    try:
        # Only now: the library is an extra.
        from consumer.crypt.seal import seal  # noqa: PLC0415 - the reason above
    except ModuleNotFoundError as error:
        raise SealUnusable(NO_EXTRA) from error
    try:
        seal(b"", b"", key)
    except Exception as error:
        raise SealUnusable(
            f"nothing can be sealed with HOPMAIL_DEADLETTER_SEAL_KEY: {type(error).__name__}"
        ) from error
    return partial(seal, key=key)


def redacted(delivery: Delivery, letter: Followup) -> Followup:
    """Return a dead letter with an outline of its body."""
    headers = {**nameless(hushed(letter.headers, delivery.body)), BODY: str(BodyState.REDACTED)}
    return replace(letter, headers=headers, body=outline(delivery.body))


def _closed(
    close: Callable[[Delivery, Followup], Followup], delivery: Delivery, letter: Followup
) -> Followup:
    if letter.exchange != DEAD_EXCHANGE:
        return letter
    match state_of(delivery.body):
        case BodyState.KEPT:
            return close(delivery, letter)
        case BodyState.REDACTED:
            return replace(letter, headers={**letter.headers, BODY: str(BodyState.REDACTED)})
        case BodyState.ENCRYPTED:
            # A dead letter that somebody put back into its lane as it was: sealed once is enough.
            return _sealed_as(delivery.body, delivery, letter)


def _sealed(delivery: Delivery, letter: Followup, seal: Seal) -> Followup:
    if len(delivery.body) > MAX_BODY_BYTES:
        # Never an email; and sealed it may be more than the broker takes.
        return redacted(delivery, letter)
    body = seal(delivery.body, context(delivery.properties.message_id, letter.headers[LOGIN]))
    return _sealed_as(body, delivery, letter)


def _sealed_as(body: bytes, delivery: Delivery, letter: Followup) -> Followup:
    marks = {BODY: str(BodyState.ENCRYPTED), BODY_KEY: read_sealed(body).key_id.hex()}
    headers = {**hushed(letter.headers, delivery.body), **marks}
    return replace(letter, headers=headers, body=body)


def _opened(delivery: Delivery, settings: Settings) -> bytes:
    try:
        from consumer.crypt.seal import CannotOpen, unseal  # noqa: PLC0415 - it is an extra
    except ModuleNotFoundError:
        raise BodyWithheld(NO_EXTRA) from None
    properties = delivery.properties
    bound_to = context(properties.message_id, properties.headers.get(LOGIN))
    try:
        return unseal(delivery.body, bound_to, settings.deadletter_open_keys)
    except CannotOpen as error:
        raise BodyWithheld(
            f"its body is sealed, and {error} (HOPMAIL_DEADLETTER_OPEN_KEYS_FILE)"
        ) from None
