"""The classification: from a stage and what happened there to an outcome. Pure."""

import re
import smtplib
import socket
import ssl
from typing import Final

from consumer.core.outcome import (
    Accepted,
    InDoubt,
    Refused,
    Reply,
    Stage,
    TransactionOutcome,
    Unreachable,
)
from consumer.smtp.reply import printable, reply_of

SERVICE_CLOSING: Final = 421
START_MAIL_INPUT: Final = 354
TOO_MANY_RECIPIENTS: Final = 552
INSUFFICIENT_STORAGE: Final = 452

AUTH_WANTED: Final = frozenset({530, 534, 535, 538})
"""RFC 4954 §6: they speak of the login and say nothing about the message."""

LOWEST_REFUSAL: Final = 400

OUT_OF_STEP: Final = re.compile(r"\b(synchroni[sz]ation|pipelining)\b", re.IGNORECASE)
PROTOCOL_STATUS: Final = "5."
"""The subject of an enhanced code that speaks of the mail delivery protocol (RFC 3463 §3.6)."""


class Garbled(OSError):
    """What the relay sends is no reply, or no reply to what it was asked."""


def refusal_of(stage: Stage, reply: Reply) -> TransactionOutcome | None:
    """Return what the reply to MAIL, RCPT or DATA refuses; None where it lets the mail go on.

    Raises Garbled for a reply that RFC 5321 §4.3.2 does not know there.
    """
    if reply.code in AUTH_WANTED:
        # Of MAIL it is the whole login that is wanting; later it may be this recipient's, which
        # must not hold up all the others.
        scope = Stage.AUTH if stage is Stage.MAIL else stage
        codes = f"{reply.code} {reply.enhanced}".rstrip()
        return Unreachable(scope, f"the relay wants a login: {codes}", reply)
    if reply.code >= LOWEST_REFUSAL:
        return Refused(stage, _as_meant(stage, reply))
    goes_on = reply.code == START_MAIL_INPUT if stage is Stage.DATA else reply.is_positive
    if not goes_on:
        raise Garbled(f"unexpected reply: {reply}")
    return None


def outcome_of_end_of_data(reply: Reply) -> TransactionOutcome:
    """Return what the reply to the final dot means for the recipients that RCPT accepted."""
    if reply.is_positive:
        return Accepted(reply)
    if reply.code >= LOWEST_REFUSAL:
        return Refused(Stage.END_OF_DATA, reply)
    return InDoubt(f"unexpected reply: {reply}")


def outcome_of_failure(stage: Stage, error: Exception) -> TransactionOutcome:
    """Return what it means that the conversation ended at `stage`.

    `Stage.END_OF_DATA` says that bytes of the final dot were handed to the kernel.
    """
    if stage.is_before_mail:
        return trouble_of(stage, error)
    if isinstance(error, smtplib.SMTPResponseException):
        return Refused(stage, _reply_in(error))
    if stage is Stage.END_OF_DATA:
        return InDoubt(detail_of(error))
    return Unreachable(stage, detail_of(error))


def trouble_of(stage: Stage, error: Exception) -> Unreachable:
    """Return what a failure before MAIL means: trouble of the relay's, or on the way to it."""
    if isinstance(error, smtplib.SMTPResponseException):
        reply = _reply_in(error)
        return Unreachable(stage, str(reply), reply)
    return Unreachable(stage, detail_of(error))


def detail_of(error: Exception) -> str:
    """Return, for a person, why the conversation ended."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"the relay's certificate is not valid: {printable(error.verify_message)}"
        case ssl.SSLError():
            # Only what OpenSSL raised has a reason.
            return f"TLS failed: {printable(getattr(error, 'reason', None) or str(error))}"
        case socket.gaierror():
            return f"the relay's name cannot be resolved: {printable(error.strerror or '')}"
        case TimeoutError():
            return "the relay did not answer in time"
        case OSError(strerror=str(strerror)):
            return printable(strerror)
        case _:
            return printable(str(error)) or type(error).__name__


def is_out_of_step(reply: Reply) -> bool:
    """Whether the relay objects to pipelined commands, though it offered PIPELINING.

    Exim: `554 SMTP synchronization error`; Postfix: `503 5.5.0 … Improper use of SMTP command
    pipelining`.
    """
    of_protocol = not reply.enhanced or reply.enhanced[2:].startswith(PROTOCOL_STATUS)
    return of_protocol and OUT_OF_STEP.search(reply.text) is not None


def _as_meant(stage: Stage, reply: Reply) -> Reply:
    # RFC 5321 §4.5.3.1.10: 552 to RCPT means too many recipients and is to be taken as 452.
    if stage is Stage.RCPT and reply.code == TOO_MANY_RECIPIENTS:
        return Reply(INSUFFICIENT_STORAGE, reply.enhanced, reply.text)
    return reply


def _reply_in(error: smtplib.SMTPResponseException) -> Reply:
    text = error.smtp_error
    return reply_of(error.smtp_code, text if isinstance(text, bytes) else text.encode())
