"""A TCP proxy that harms what it forwards: late, one way only, cut, reset, or not at all."""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

CHUNK_BYTES: Final = 65_536
RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing sends RST, and what was not sent is dropped (socket(7))."""


@dataclass
class Way:
    """One direction, and the harm done to it; may be changed while it runs.

    `is_dropping` swallows what comes, `is_held` reads nothing, `cut_after` resets a connection
    after this many bytes, `swallow_after` after a pattern, in place of the first answer to it.
    """

    late_seconds: float = 0.0
    is_dropping: bool = False
    is_held: bool = False
    cut_after: int | None = None
    swallow_after: bytes | None = None


@dataclass(eq=False)
class _Pair:
    client: socket.socket
    server: socket.socket
    passed: dict[int, int] = field(default_factory=lambda: {0: 0, 1: 0})
    tail: bytes = b""
    is_doomed: bool = False
    is_abandoned: bool = False
    is_reset: bool = False

    def reset(self) -> None:
        self.is_reset = True
        for end in (self.client, self.server):
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                end.shutdown(socket.SHUT_RD)  # wakes the thread that reads it
        self.client.close()
        self.server.close()


class Proxy:
    """Forwards to a port of this machine. `to_server` and `to_client` are its two ways."""

    def __init__(self, target: int, host: str = "127.0.0.1") -> None:
        self.to_server = Way()
        self.to_client = Way()
        self.connections = 0
        self._target = host, target
        self._pairs: list[_Pair] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server((host, 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept, self._listener)

    def reset(self) -> None:
        """Reset every connection."""
        for pair in self._pairs:
            pair.reset()

    def abandon(self) -> None:
        """Swallow all that comes over the connections there are; new ones are served."""
        for pair in self._pairs:
            pair.is_abandoned = True

    def refuse(self) -> None:
        """Listen no more: a connection is refused. Those that stand go on."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def listen(self) -> None:
        """Listen again after `refuse`, on the same port."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._start(self._accept, self._listener)

    def heal(self) -> None:
        """Do no more harm."""
        self.to_server.__init__()  # type: ignore[misc]  # the same object, as it was at first
        self.to_client.__init__()  # type: ignore[misc]  # as above

    def close(self) -> None:
        """End everything."""
        self.heal()
        self.refuse()
        self.reset()
        for thread in self._threads:
            thread.join(10)

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, name="proxy", daemon=True)  # type: ignore[arg-type]  # one of the methods below
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _address = listener.accept()
                self.connections += 1
                try:
                    server = socket.create_connection(self._target)
                except OSError:
                    client.close()
                    continue
                pair = _Pair(client, server)
                self._pairs.append(pair)
                self._start(self._forward, pair, 0)
                self._start(self._forward, pair, 1)

    def _forward(self, pair: _Pair, number: int) -> None:
        way = (self.to_server, self.to_client)[number]
        source, target = (pair.client, pair.server)[:: -1 if number else 1]
        try:
            while chunk := self._next(source, way):
                if number and pair.is_doomed:
                    pair.reset()
                elif not (way.is_dropping or pair.is_abandoned):
                    time.sleep(way.late_seconds)
                    self._pass_on(pair, number, way, chunk)
            if not pair.is_reset:
                target.shutdown(socket.SHUT_WR)
        except OSError:
            pair.reset()

    def _next(self, source: socket.socket, way: Way) -> bytes:
        chunk = source.recv(CHUNK_BYTES)
        while way.is_held:
            time.sleep(0.02)
        return chunk

    def _pass_on(self, pair: _Pair, number: int, way: Way, chunk: bytes) -> None:
        if way.cut_after is not None:
            chunk = chunk[: max(0, way.cut_after - pair.passed[number])]
        pair.passed[number] += len(chunk)
        if way.swallow_after is not None:
            pair.is_doomed = pair.is_doomed or way.swallow_after in pair.tail + chunk
            pair.tail = (pair.tail + chunk)[-len(way.swallow_after) :]
        (pair.client if number else pair.server).sendall(chunk)
        if way.cut_after is not None and pair.passed[number] >= way.cut_after:
            pair.reset()


@contextmanager
def fault_proxy(target: int) -> Iterator[Proxy]:
    """Run a proxy for the length of a block."""
    proxy = Proxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
