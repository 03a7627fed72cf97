"""One connection of the scripted SMTP server, and what all of them remember."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, AnyStr, cast

from aiosmtpd.smtp import SMTP, AuthResult

from tests.support.smtp_script import Event, Rule, Script, Then

ACCEPTED = "250 2.0.0 queued"


@dataclass(frozen=True)
class Mail:
    """A mail whose final dot arrived: its envelope, and its content without dot-stuffing."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    options: tuple[str, ...] = ()


class Record:
    """How connections behave, and what they saw; may be read from another thread.

    `mails` are those answered with 2yz, `dotted` all whose final dot arrived, `commands` the
    command lines with AUTH's argument left out, `plaintext` all octets that came unencrypted,
    `reads` how often some came.
    """

    def __init__(
        self,
        rules: Mapping[str, Rule],
        *,
        starttls: ssl.SSLContext | None,
        users: Mapping[str, str],
        extensions: tuple[str, ...],
        size_limit: int | None,
        takes_data_for_nobody: bool,
    ) -> None:
        self.script = Script(rules)
        self.mails: list[Mail] = []
        self.dotted: list[Mail] = []
        self.commands: list[str] = []
        self.logins: list[tuple[str, str]] = []
        self.plaintext = b""
        self.sessions = self.reads = 0
        self.transports: set[asyncio.BaseTransport] = set()
        self.starttls = starttls
        self.users = users
        self.extensions = extensions
        self.size_limit = size_limit
        self.takes_data_for_nobody = takes_data_for_nobody

    def forget(self) -> list[Mail]:
        """Let go of all that was seen, and return the mails; for long runs."""
        mails, self.mails, self.dotted, self.commands = self.mails, [], [], []
        self.plaintext = b""
        return mails


class Handler:
    """aiosmtpd's hooks: what EHLO offers, and what becomes of a mail."""

    def __init__(self, server: Record) -> None:
        self._server = server

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, smtp: "Conversation", session: Any, _envelope: Any, name: str, lines: list[str]
    ) -> list[str]:
        session.host_name = name
        offered = [line for line in lines[:-1] if self._server.users or "AUTH" not in line]
        smtp.enable_SMTPUTF8 = "SMTPUTF8" in self._server.extensions
        return [*offered, *(f"250-{name}" for name in self._server.extensions), lines[-1]]

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, smtp: "Conversation", _session: Any, envelope: Any
    ) -> str:
        server = self._server
        mail = Mail(
            envelope.mail_from,
            tuple(envelope.rcpt_tos),
            bytes(envelope.original_content),
            tuple(envelope.mail_options),
        )
        server.dotted.append(mail)
        event = server.script.event("END_OF_DATA")
        if event is None or event.is_positive:
            server.mails.append(mail)
        if event is None:
            return ACCEPTED
        return await smtp.play(event)


class Conversation(SMTP):
    """One connection. Commands go to aiosmtpd unless the script has an event for them."""

    def __init__(self, server: Record, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            Handler(server),
            hostname="relay.test",
            ident="ESMTP",
            data_size_limit=server.size_limit,
            enable_SMTPUTF8=False,
            tls_context=server.starttls,
            auth_require_tls=False,
            authenticator=self._check,
            loop=loop,
        )
        self._scripted = server
        self._instead = b""
        self._smtp_methods = {
            name: partial(self._obey, name, method) for name, method in self._smtp_methods.items()
        }

    def _wire(self) -> asyncio.Transport:
        assert self.transport is not None
        return cast("asyncio.Transport", self.transport)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._original_transport is None:
            self._scripted.sessions += 1
            self._scripted.transports.add(transport)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._scripted.transports.discard(self._original_transport or self.transport)
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        self._scripted.reads += 1
        if not self._wire().get_extra_info("sslcontext"):
            self._scripted.plaintext += data
        super().data_received(data)

    async def push(self, status: AnyStr) -> None:
        instead, self._instead = self._instead, b""
        if instead:
            await super().push(instead)
        else:
            await super().push(status)

    async def play(self, event: Event) -> str:
        """Do what the event says; return the reply when that is all there is to it."""
        await asyncio.sleep(event.after_seconds)
        if event.for_ever or event.every_seconds:
            await self._write_slowly(event)
        elif event.then is Then.GO_ON:
            return event.octets.decode().removesuffix("\r\n")
        else:
            self._writer.write(event.octets)
            await self._writer.drain()
        if event.then is Then.CLOSE:
            self._wire().close()
        elif event.then is Then.RESET:
            self._wire().abort()
        return await asyncio.Future()  # cancelled when the connection is lost

    async def _write_slowly(self, event: Event) -> None:
        for octet in event.octets if event.every_seconds else b"":
            self._writer.write(bytes([octet]))
            await asyncio.sleep(event.every_seconds)
        while event.for_ever and not self._writer.is_closing():
            self._writer.write(event.octets)
            await self._writer.drain()
            await asyncio.sleep(0)

    async def _handle_client(self) -> None:
        if (event := self._scripted.script.event("CONNECT")) is not None:
            await self.play(event)
        if (event := self._scripted.script.event("GREETING")) is not None:
            self._instead = (await self.play(event)).encode()
        await super()._handle_client()

    async def _obey(self, name: str, method: Any, argument: str | None) -> None:
        shown = argument if name != "AUTH" else (argument or "").partition(" ")[0]
        self._scripted.commands.append(f"{name} {shown}" if shown else name)
        event = self._scripted.script.event(name, argument or "")
        if event is not None:
            reply = await self.play(event)
            if not event.is_positive or name not in {"MAIL", "RCPT"}:
                await super().push(reply)
                return
            self._instead = reply.encode()
        if name == "DATA":
            await self._before_content()
        await method(argument)

    async def _before_content(self) -> None:
        assert self.envelope is not None
        event = self._scripted.script.event("CONTENT")
        if event is not None and self.envelope.rcpt_tos:
            await super().push("354 go on")
            await self._reader.read(1)
            await self.play(event)
            raise AssertionError("an event at CONTENT must end the connection")
        if self._scripted.takes_data_for_nobody and not self.envelope.rcpt_tos:
            # aiosmtpd goes on to take the content, from nobody to nobody.
            self.envelope.rcpt_tos = [""]

    def _check(self, _smtp: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> Any:
        user, password = data.login.decode(), data.password.decode()
        self._scripted.logins.append((_mechanism, user))
        return AuthResult(success=self._scripted.users.get(user) == password, handled=False)
