"""An SMTP server on loopback that keeps what it takes in a Maildir, and can defer and refuse."""

import mailbox
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from aiosmtpd.controller import Controller

from dev.processes import LOOPBACK, free_ports, unhurried

LATER: Final = "later"
"""A mailbox with this local part is deferred at its first RCPT, as by a greylisting server."""

NOBODY: Final = "nobody"
"""A mailbox with this local part is always refused."""

DOUBT: Final = "doubt"
"""The first mail to a mailbox with this local part gets no answer: the connection is cut."""

AWAY: Final = "421 4.3.2 Closed for a moment"


class Relay:
    """The running server, and its mails. While it `is_away` it turns every client away."""

    def __init__(self, maildir: Path) -> None:
        self.maildir = maildir
        self.is_away = False
        (self.port,) = free_ports(1)

    @property
    def url(self) -> str:
        """Where it listens, for HOPMAIL_SMTP_URL."""
        return f"smtp://{LOOPBACK}:{self.port}?tls=none"

    def message_ids(self) -> Counter[str]:
        """Return how often each message was taken; the consumer's Message-ID begins with its id."""
        fields = (mail["Message-ID"] or "" for mail in mailbox.Maildir(self.maildir))
        return Counter(field.strip("<>").rpartition("@")[0] for field in fields)


class _Handler:
    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._mails = mailbox.Maildir(relay.maildir)
        self._deferred: set[str] = set()
        self._doubted: set[str] = set()

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, _server: Any, session: Any, _envelope: Any, name: str, lines: list[str]
    ) -> list[str]:
        session.host_name = name
        return [AWAY] if self._relay.is_away else lines

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, _server: Any, _session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if self._relay.is_away:
            return AWAY
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        local_part = address.partition("@")[0]
        if local_part == NOBODY:
            return "550 5.1.1 No such mailbox here"
        if local_part == LATER and address not in self._deferred:
            self._deferred.add(address)
            return "451 4.7.1 Greylisted, come back in a moment"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: Any, _session: Any, envelope: Any
    ) -> str:
        doubted = {name for name in envelope.rcpt_tos if name.partition("@")[0] == DOUBT}
        if doubted - self._doubted:
            self._doubted |= doubted
            server.transport.abort()
            return AWAY
        # A delivering server notes the envelope above the header (RFC 5321 §4.4).
        trace = [f"Return-Path: <{envelope.mail_from}>"]
        trace += [f"Delivered-To: {recipient}" for recipient in envelope.rcpt_tos]
        content = envelope.content.replace(b"\r\n", b"\n")
        self._mails.add("\n".join([*trace, ""]).encode() + content)
        return "250 2.0.0 Kept"


@contextmanager
def mail_catcher(maildir: Path) -> Iterator[Relay]:
    """Run the server for the length of a block, with a Maildir that is empty at first."""
    shutil.rmtree(maildir, ignore_errors=True)
    maildir.parent.mkdir(parents=True, exist_ok=True)
    relay = Relay(maildir)
    server = Controller(
        _Handler(relay), LOOPBACK, relay.port, server_hostname="relay.example", ident="Hopmail"
    )
    server.start()
    try:
        yield relay
    finally:
        with unhurried():
            server.stop()
