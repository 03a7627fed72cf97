"""A TCP proxy before the broker, to hold back its answers or to cut the line."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

CHUNK_BYTES = 65_536


class Proxy:
    """Forwards each connection; with a `context` the client's side speaks TLS.

    `answers` cleared: what the broker sends is held. `accepts` cleared: a connection is taken and
    nothing forwarded until it is set again. `forwarded` is what the client said to the broker.
    """

    def __init__(self, url: str, context: ssl.SSLContext | None = None) -> None:
        self._parts = urlsplit(url)
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.answers = threading.Event()
        self.answers.set()
        self.accepts = threading.Event()
        self.accepts.set()
        self.accepted = 0
        self.forwarded = bytearray()
        self._start(self._accept)

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """The broker's URL by way of the proxy."""
        login = self._parts.netloc.rpartition("@")[0]
        scheme = "amqp" if self._context is None else "amqps"
        return f"{scheme}://{login}@127.0.0.1:{self.port}{self._parts.path}"

    def cut(self) -> None:
        """End every connection at once, with what is held."""
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End everything."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.accepts.set()
        self.answers.set()
        self.cut()
        for thread in self._threads:
            thread.join(5)
        for connection in self._connections:
            connection.close()

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]  # one of the methods below
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _address = self._listener.accept()
                self.accepted += 1
                self._connections.append(client)
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        self.accepts.wait()
        if self._context is not None:
            try:
                client = self._context.wrap_socket(client, server_side=True)
            except OSError:
                return
            self._connections.append(client)
        with suppress(OSError):
            server = socket.create_connection((self._parts.hostname or "", self._parts.port or 0))
            self._connections.append(server)
            self._start(self._forward, client, server, None)
            self._forward(server, client, self.answers)

    def _forward(
        self, source: socket.socket, target: socket.socket, gate: threading.Event | None
    ) -> None:
        with suppress(OSError):
            while chunk := source.recv(CHUNK_BYTES):
                if gate is None:
                    self.forwarded += chunk
                else:
                    gate.wait()
                target.sendall(chunk)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxied(url: str, context: ssl.SSLContext | None = None) -> Iterator[Proxy]:
    """Run a proxy to a broker for the length of a block."""
    proxy = Proxy(url, context)
    try:
        yield proxy
    finally:
        proxy.close()
