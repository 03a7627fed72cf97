"""What a relay's reply, given as text, means at a stage. Pure."""

import smtplib
from typing import Final

from consumer.core.outcome import Stage, TransactionOutcome
from consumer.smtp.conversation import REPLY_LINE
from consumer.smtp.opening import LOWEST_PERMANENT
from consumer.smtp.outcome_of import (
    AUTH_WANTED,
    LOWEST_REFUSAL,
    SERVICE_CLOSING,
    Garbled,
    is_out_of_step,
    outcome_of_end_of_data,
    outcome_of_failure,
    refusal_of,
)
from consumer.smtp.reply import reply_of

EXPECTED: Final = {
    Stage.CONNECT: 220,
    Stage.GREETING: 220,
    Stage.EHLO: 250,
    Stage.STARTTLS: 220,
    Stage.AUTH: 235,
}
"""The reply with which each step before MAIL is done."""

CHALLENGE: Final = 334


def read_reply(text: str) -> tuple[int, bytes]:
    """Return a reply's code and its lines' texts, joined by LF, as a conversation reads them.

    Raises ValueError, saying what a reply is (RFC 5321 §4.2).
    """
    code, texts = b"", []
    # A shell hands over octets that are no UTF-8 so; a relay may say some.
    for line in text.strip().encode(errors="surrogateescape").split(b"\n"):
        found = REPLY_LINE.fullmatch(line.strip())
        if found is None or found[1] != (code or found[1]):
            raise ValueError(
                "an SMTP reply begins each line with the same code of three digits:"
                " 550 5.1.1 User unknown"
            )
        code = found[1]
        texts.append(found[3] or b"")
    return int(code), b"\n".join(texts)


def outcome_of_reply(stage: Stage, code: int, text: bytes) -> TransactionOutcome | None:
    """Return what a reply means for mail and relay; None where the conversation goes on."""
    if stage.is_before_mail:
        return None if goes_on_because(stage, code) else _failed(stage, code, text)
    if stage is Stage.END_OF_DATA:
        return outcome_of_end_of_data(reply_of(code, text))
    try:
        return refusal_of(stage, reply_of(code, text))
    except Garbled as error:
        return outcome_of_failure(stage, error)


def goes_on_because(stage: Stage, code: int) -> str:
    """Return why a reply before MAIL decides nothing; empty where it does."""
    match stage:
        case Stage.EHLO if code >= LOWEST_PERMANENT:
            return "HELO is said then, and its reply counts"
        case Stage.AUTH if code == CHALLENGE:
            return "the challenge is answered, and the reply to that counts"
        case _:
            return "the relay takes this step" if code == EXPECTED.get(stage) else ""


def unless(stage: Stage, code: int, text: bytes) -> str:
    """Return when a reply with an outcome decides nothing, by what went before; mostly never."""
    if stage is Stage.STARTTLS and code != EXPECTED[stage]:
        return "the relay's URL says tls=opportunistic: the mail goes on in the clear"
    if stage is Stage.MAIL and code in AUTH_WANTED:
        return "it has taken our login since it said so of this mail: this mail is tried again"
    if stage is Stage.MAIL and code == SERVICE_CLOSING:
        return "it was said in a session kept from an earlier mail: it is told to a new one"
    is_of_envelope = Stage.MAIL <= stage < Stage.END_OF_DATA
    if is_of_envelope and code >= LOWEST_REFUSAL and is_out_of_step(reply_of(code, text)):
        return "the relay offers PIPELINING: the mail is told again, a command at a time"
    return ""


def _failed(stage: Stage, code: int, text: bytes) -> TransactionOutcome:
    return outcome_of_failure(stage, smtplib.SMTPResponseException(code, text))
