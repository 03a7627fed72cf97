"""A real SMTP server, aiosmtpd, that misbehaves as its script says and remembers everything.

with smtp_server({"MAIL": say("451 4.7.1 later")}) as server:
    …  # a client, another thread or another process, uses server.url
    assert server.mails == []
"""

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from tests.support.smtp_conversation import Conversation, Record
from tests.support.smtp_script import Rule


class SmtpServer(Record):
    """The server; what it saw is its record's."""

    def __init__(
        self,
        rules: Mapping[str, Rule],
        *,
        implicit_tls: ssl.SSLContext | None,
        cafile: Path | None,
        **behaviour: Any,
    ) -> None:
        super().__init__(rules, **behaviour)
        self.port = 0
        self._implicit_tls = implicit_tls
        self._cafile = cafile
        self._bugs: list[dict[str, Any]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The relay URL, without a login."""
        return self.url_with()

    def url_with(self, login: str = "", host: str = "127.0.0.1", **options: object) -> str:
        """Return the relay URL with `login` (user:password) and options of its own."""
        scheme = "smtps" if self._implicit_tls else "smtp"
        if self._cafile is not None:
            options = {"cafile": self._cafile, **options}
        if not self._implicit_tls and not self.starttls:
            options = {"tls": "none", **options}
        if login and options.get("tls") == "none":
            options = {"insecure_auth": "yes", **options}
        query = "&".join(f"{name}={quote(str(value))}" for name, value in options.items())
        return f"{scheme}://{login}{'@' if login else ''}{host}:{self.port}?{query}"

    @property
    def open_sessions(self) -> int:
        """How many connections there are now."""
        return len(self.transports)

    def start(self) -> None:
        """Serve; after `stop` on the same port again."""
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="smtp-server")
        self._thread.start()
        assert ready.wait(10), "the SMTP server did not start"

    def stop(self) -> None:
        """Close the port and reset every connection."""
        if self._thread is None or self._loop is None:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._thread = None
        assert not self._bugs, self._bugs

    def drop_sessions(self) -> None:
        """Close every connection, as a relay does with idle clients; the port stays open."""
        self._with_each(lambda transport: transport.close())

    def announce(self, line: str) -> None:
        """Say a line out of turn in every connection that is not encrypted."""
        self._with_each(lambda transport: transport.write(f"{line}\r\n".encode()))

    def _with_each(self, act: Callable[[asyncio.Transport], None]) -> None:
        assert self._loop is not None

        async def act_on_all() -> None:
            for transport in list(self.transports):
                act(cast("asyncio.Transport", transport))

        asyncio.run_coroutine_threadsafe(act_on_all(), self._loop).result(10)

    def _run(self, ready: threading.Event) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            self._loop.set_exception_handler(self._remember_bug)
            listener = runner.run(self._listen())
            ready.set()
            self._loop.run_forever()
            runner.run(self._close(listener))

    def _remember_bug(self, _loop: object, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), OSError | None):
            self._bugs.append(context)

    async def _listen(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(
            partial(Conversation, self, loop), "127.0.0.1", self.port, ssl=self._implicit_tls
        )
        self.port = listener.sockets[0].getsockname()[1]
        return listener

    async def _close(self, listener: asyncio.Server) -> None:
        listener.close()
        for transport in list(self.transports):
            # Python 3.11.2 raises it where TLS has ended already.
            with suppress(AttributeError):
                cast("asyncio.Transport", transport).abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)
        await listener.wait_closed()


@contextmanager
def smtp_server(
    rules: Mapping[str, Rule] | None = None,
    *,
    starttls: ssl.SSLContext | None = None,
    implicit_tls: ssl.SSLContext | None = None,
    cafile: Path | None = None,
    users: Mapping[str, str] | None = None,
    extensions: tuple[str, ...] = ("PIPELINING", "SMTPUTF8"),
    size_limit: int | None = None,
    takes_data_for_nobody: bool = False,
) -> Iterator[SmtpServer]:
    """Serve on loopback for the length of a block.

    `rules` say what goes wrong at which stage (`tests.support.smtp_script`), `users` are
    passwords by name, `cafile` goes into the URL, `takes_data_for_nobody` answers DATA with 354
    even where every RCPT was refused.
    """
    server = SmtpServer(
        rules or {},
        starttls=starttls,
        implicit_tls=implicit_tls,
        cafile=cafile,
        users=users or {},
        extensions=extensions,
        size_limit=size_limit,
        takes_data_for_nobody=takes_data_for_nobody,
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()
