"""An SMTP server that takes more than CRLF . CRLF for the end of a mail, and keeps every octet."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

STRICT: Final = (b"\r\n.\r\n",)
LENIENT: Final = (
    *(b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\n.\r", b"\r.\n"),
    *STRICT,
)
"""What servers took for it before CVE-2023-51764, -51765 and -51766 were mended, and more."""

CHUNK_BYTES: Final = 65_536
ANSWERS: Final = {b"EHLO": b"250-relay.test\r\n250-SMTPUTF8\r\n", b"QUIT": b"221 bye\r\n"}


class LenientRelay:
    """Takes mail over one connection after the other; `ends` are the ends of a mail."""

    def __init__(self, ends: tuple[bytes, ...], *, pipelining: bool) -> None:
        self.mails: list[bytes] = []
        self.commands: list[bytes] = []
        self.wire = b""
        self._ends = ends
        self._last = b"250 PIPELINING\r\n" if pipelining else b"250 HELP\r\n"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self._listener.getsockname()
        return host, port

    @property
    def url(self) -> str:
        """The relay URL."""
        return "smtp://{}:{}?tls=none&timeout=10".format(*self.address)

    def close(self) -> None:
        """Stop listening, once the last client has left."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _address = self._listener.accept()
                with client:
                    self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(b"220 relay.test\r\n")
        received, in_data = b"", False
        while chunk := client.recv(CHUNK_BYTES):
            self.wire += chunk
            received += chunk
            progress = True
            while progress:
                take = self._take_content if in_data else self._take_command
                rest = take(client, received)
                progress = rest is not None
                if rest is not None:
                    received = rest
                    in_data = not in_data and self.commands[-1].upper() == b"DATA"

    def _take_command(self, client: socket.socket, received: bytes) -> bytes | None:
        line, newline, rest = received.partition(b"\n")
        if not newline:
            return None
        self.commands.append(line.rstrip(b"\r"))
        verb = line[:4].upper()
        if verb == b"DATA":
            client.sendall(b"354 go on\r\n")
            # The CRLF of the command may begin the end of an empty mail.
            return b"\r\n" + rest
        client.sendall(ANSWERS.get(verb, b"250 ok\r\n") + (self._last if verb == b"EHLO" else b""))
        return rest

    def _take_content(self, client: socket.socket, received: bytes) -> bytes | None:
        places = [(place, end) for end in self._ends if (place := received.find(end)) >= 0]
        if not places:
            return None
        place, end = min(places, key=lambda found: (found[0], -len(found[1])))
        self.mails.append(received[2:place])
        client.sendall(b"250 2.0.0 queued\r\n")
        return received[place + len(end) :]


@contextmanager
def lenient_relay(
    ends: tuple[bytes, ...] = LENIENT, *, pipelining: bool = True
) -> Iterator[LenientRelay]:
    """Serve for the length of a block."""
    relay = LenientRelay(ends, pipelining=pipelining)
    try:
        yield relay
    finally:
        relay.close()
