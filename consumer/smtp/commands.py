"""The commands that tell a relay the envelope, or why it need not even be asked. Pure."""

import re
from collections.abc import Mapping
from typing import Final

from consumer.core.envelope import Envelope
from consumer.core.outcome import Refused, Reply, Stage
from consumer.core.record import record

DATA: Final = b"DATA\r\n"

ADDRESS: Final = re.compile(r"[^\s<>\x00-\x1f\x7f-\x9f]+")
"""Anything else could end the path and append parameters or commands of its own."""


class Lacking(Exception):
    """The relay lacks what this mail needs, and would only confirm `refused`. Another may do."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused)
        self.refused = refused


@record
class Extensions:
    """The service extensions a relay offers (RFC 5321 §2.2), as far as they matter to a mail.

    `size_limit` is in bytes: None where SIZE is not offered, 0 where no limit is told (RFC 1870).
    """

    pipelining: bool = False
    smtputf8: bool = False
    size_limit: int | None = None

    @classmethod
    def of(cls, features: Mapping[str, str]) -> "Extensions":
        """Read them from `smtplib`'s EHLO keywords, which are in lower case."""
        size = features.get("size")
        return cls(
            pipelining="pipelining" in features,
            smtputf8="smtputf8" in features,
            size_limit=None if size is None else int(size) if _is_number(size) else 0,
        )


@record
class EnvelopeCommands:
    """MAIL, and RCPT for each recipient in their order; DATA follows them."""

    mail: bytes
    rcpts: tuple[bytes, ...]

    @property
    def group(self) -> bytes:
        """All of them as one command group (RFC 2920 §3.1: DATA only at its end)."""
        return b"".join((self.mail, *self.rcpts, DATA))


def envelope_commands(
    envelope: Envelope, content: bytes, extensions: Extensions
) -> EnvelopeCommands | Refused:
    """Return the commands for a mail, or the refusal that any relay would only confirm.

    Raises Lacking where it is this relay that cannot take it.
    """
    if not all(map(ADDRESS.fullmatch, (envelope.sender, *envelope.recipients))):
        return Refused(Stage.MAIL, Reply(553, "5.1.3", "not an address of the contract: not sent"))
    size, limit = len(content), extensions.size_limit
    if limit and size > limit:
        text = f"the mail has {size} bytes, the relay takes {limit}"
        raise Lacking(Refused(Stage.MAIL, Reply(552, "5.3.4", text)))
    parameters = "" if limit is None else f" SIZE={size}"
    # Bodies are encoded in 7 bits, so content beyond ASCII has a mailbox name in its headers.
    if envelope.needs_smtputf8 or not content.isascii():
        if not extensions.smtputf8:
            text = "an address needs SMTPUTF8, which the relay does not offer"
            raise Lacking(Refused(Stage.MAIL, Reply(553, "5.6.7", text)))
        parameters += " BODY=8BITMIME SMTPUTF8"
    return EnvelopeCommands(
        f"MAIL FROM:<{envelope.sender}>{parameters}\r\n".encode(),
        tuple(f"RCPT TO:<{recipient}>\r\n".encode() for recipient in envelope.recipients),
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 20  # noqa: PLR2004 - RFC 1870 §4
