"""What a relay's reply, given as text, means at a stage. Pure."""

import smtplib
from typing import Final

from consumer.core.outcome import Stage, TransactionOutcome
from consumer.smtp.conversation import REPLY_LINE
from consumer.smtp.outcome_of import (
    SERVICE_CLOSING,
    Garbled,
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


def read_reply(text: str) -> tuple[int, bytes]:
    """Return a reply's code and its lines' texts, joined by LF, as a conversation reads them.

    Raises ValueError, saying what a reply is (RFC 5321 §4.2).
    """
    code, texts = b"", []
    for line in text.strip().encode().split(b"\n"):
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
        done = code == EXPECTED[stage]
        return None if done else _failed(stage, code, text)
    if stage is Stage.END_OF_DATA:
        return outcome_of_end_of_data(reply_of(code, text))
    if code == SERVICE_CLOSING:
        return _failed(stage, code, text)
    try:
        return refusal_of(stage, reply_of(code, text))
    except Garbled as error:
        return outcome_of_failure(stage, error)


def _failed(stage: Stage, code: int, text: bytes) -> TransactionOutcome:
    return outcome_of_failure(stage, smtplib.SMTPResponseException(code, text))
