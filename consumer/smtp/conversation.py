"""Bytes to and from the relay: bounded replies and counted writes, whatever they mean."""

import logging
import math
import re
import select
import smtplib
import socket
import ssl
import struct
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from consumer.core.outcome import Stage
from consumer.core.relay_url import RelayURL
from consumer.smtp.outcome_of import Garbled
from consumer.smtp.reply import printable, reply_of

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

A = TypeVar("A")
R = TypeVar("R")

RECEIVE_BYTES: Final = 4_096
LONGEST_REPLY_BYTES: Final = 65_536
"""RFC 5321 §4.5.3.1.5 allows 512 per line; without a bound a relay could fill the memory."""

LARGEST_WRITE_BYTES: Final = 16_384
"""One TLS record (RFC 8446 §5.1): the peer can read all of a write, or nothing of it."""

REPLY_LINE: Final = re.compile(rb"([2-5]\d\d)(?:([ -])(.*?))?\r*", re.DOTALL)
SENDING: Final = socket.SO_SNDTIMEO
RECEIVING: Final = socket.SO_RCVTIMEO

PATIENCE_SLACK: Final = 0.01
"""The part by which a wait may be longer or shorter, so that not each sets a time of its own."""

VERBS: Final = frozenset({"EHLO", "HELO", "STARTTLS", "RSET", "NOOP", "QUIT"})
"""Commands whose words may be logged. Of a login a password is a command of its own."""

EXCERPT_CHARACTERS: Final = 80
CLOSED: Final = "the relay closed the connection"

log = logging.getLogger(__name__)


class Conversation(smtplib.SMTP):
    """An `smtplib.SMTP` whose replies are bounded in time and size, and whose writes are counted.

    EHLO and AUTH are the standard library's. Every failure is an OSError; the caller closes.
    Nothing waits past `deadline`, on the monotonic clock, however many replies are still due.
    """

    def __init__(self, url: RelayURL) -> None:
        # A name is given at once: without one the standard library asks the DNS, which may hang.
        super().__init__(local_hostname=url.helo or "localhost", timeout=url.timeout_seconds)
        self.url = url
        self.stage = Stage.CONNECT
        self.deadline = math.inf
        self.handed_over = 0
        """How many bytes of the last `send` the kernel took."""
        self.is_traced = log.isEnabledFor(logging.DEBUG)
        """Whether each step is logged; found out once a transaction."""
        self._verb = ""
        self._received = b""
        self._patience_seconds: dict[int, float] = {}
        """How long the kernel waits, by the operation."""

    @property
    def is_open(self) -> bool:
        """Whether there is a connection; it may have died without a word."""
        return self.sock is not None

    @property
    def is_encrypted(self) -> bool:
        """Whether what is sent now goes through TLS."""
        return isinstance(self.sock, ssl.SSLSocket)

    @property
    def is_quiet(self) -> bool:
        """Whether the relay has said no more than was read: neither a 421 nor goodbye."""
        if self.sock is None or self._received:
            return False
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return not poll.poll(0)

    def dial(self) -> None:
        """Connect, with the time that the URL allows for each of the host's addresses."""
        address = (self.url.host, self.url.port)
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.sock = socket.create_connection(address, min(self.url.connect_timeout_seconds, left))
        self._patience_seconds = {}
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.local_hostname = self.url.helo or _own_name(self.sock)
        if self.is_traced:
            self.trace("smtp connected", ip=self.sock.getpeername()[0])

    def encrypt(self, context: ssl.SSLContext) -> None:
        """Do the TLS handshake.

        Raises Garbled where the relay, or somebody between, has already said more: answered
        before the handshake, it would pass for the encrypted relay's word (CVE-2011-0411).
        """
        if self._received:
            raise Garbled("there was plaintext after the reply to STARTTLS")
        plain = self._waiting(RECEIVING, time.monotonic() + self.url.timeout_seconds)
        # OpenSSL would take the kernel's word, that the time is up, for a reason to try again.
        plain.settimeout(min(self.url.timeout_seconds, self.deadline - time.monotonic()))
        self.sock = context.wrap_socket(plain, server_hostname=self.url.host)
        self.ehlo_resp = None
        self.esmtp_features = {}
        self.does_esmtp = False
        if self.is_traced:
            self.trace("smtp encrypted", protocol=self.sock.version())

    def trace(self, event: str, **fields: object) -> None:
        """Log a step at DEBUG, without a word that is a mail's, or a secret."""
        log.debug(event, extra={"relay": self.url.place, **fields})

    def putcmd(self, cmd: str, args: str = "") -> None:
        """Send a command, and remember which, so that its reply can be told of."""
        if self.is_traced:
            self._verb = cmd.upper() if cmd.upper() in VERBS else ""
        super().putcmd(cmd, args)

    def send(self, s: "ReadableBuffer | str") -> None:
        """Write all of `s`, within `timeout` for what is small and `data_timeout` for the rest.

        Raises Garbled where replies precede their commands: they would be taken for others.
        """
        self.handed_over = 0
        if self._received:
            raise Garbled(f"the relay spoke out of turn: {_excerpt(self._received)}")
        view = memoryview(s.encode(self.command_encoding) if isinstance(s, str) else s)
        sock = self._waiting(SENDING, time.monotonic() + self.url.timeout_seconds)
        self.handed_over = _in_time(sock.send, view[:LARGEST_WRITE_BYTES])
        if self.handed_over < len(view):
            self._send_rest(view)

    def _send_rest(self, view: memoryview) -> None:
        until = time.monotonic() + self.url.data_timeout_seconds
        while self.handed_over < len(view):
            end = self.handed_over + LARGEST_WRITE_BYTES
            sock = self._waiting(SENDING, until)
            self.handed_over += _in_time(sock.send, view[self.handed_over : end])

    def getreply(self) -> tuple[int, bytes]:
        """Return the next reply's code and its lines' texts, joined by LF (RFC 5321 §4.2.1)."""
        return self.reply_within(self.url.timeout_seconds)

    def reply_within(self, seconds: float) -> tuple[int, bytes]:
        """Return the next reply, as `getreply`; it must be complete `seconds` from now.

        Raises TimeoutError, ConnectionError at the end of the stream, Garbled for what is no
        reply.
        """
        until, size, code = 0.0, 0, b""
        texts: list[bytes] = []
        while True:
            line, newline, rest = self._received.partition(b"\n")
            if not newline:
                until = until or time.monotonic() + seconds
                self._receive(until, size + len(line))
                continue
            self._received = rest
            found = REPLY_LINE.fullmatch(line)
            if found is None or found[1] != (code or found[1]):
                raise Garbled(f"not an SMTP reply: {_excerpt(line)}")
            code = found[1]
            size += len(line)
            texts.append(found[3] or b"")
            if found[2] != b"-":
                text = b"\n".join(texts)
                if self.is_traced:
                    self._trace_reply(int(code), text)
                return int(code), text

    def _trace_reply(self, code: int, text: bytes) -> None:
        command, self._verb = self._verb or self.stage.name, ""
        enhanced = reply_of(code, text).enhanced
        self.trace("smtp reply", command=command, code=code, enhanced=enhanced or None)

    def _receive(self, until: float, size: int) -> None:
        if size > LONGEST_REPLY_BYTES:
            raise Garbled("the relay's reply does not end")
        data = _in_time(self._waiting(RECEIVING, until).recv, RECEIVE_BYTES)
        if not data:
            raise ConnectionAbortedError(CLOSED)
        self._received += data

    def _waiting(self, operation: int, until: float) -> socket.socket:
        """Return the socket, its timeout set so that the next operation ends by `until`.

        Raises TimeoutError when that has passed, ConnectionError when there is no connection.
        """
        left = min(until, self.deadline) - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if self.sock is None:
            raise ConnectionAbortedError(CLOSED)
        if self.is_encrypted:
            self.sock.settimeout(left)
        elif abs(left - self._patience_seconds.get(operation, 0.0)) > left * PATIENCE_SLACK:
            self._patience_seconds[operation] = left
            _set_patience(self.sock, operation, left)
        return self.sock


def _set_patience(sock: socket.socket, operation: int, seconds: float) -> None:
    """Have the kernel end a wait in time.

    Python's own timeout asks it twice for each operation: whether it may begin, and to do it.
    """
    sock.settimeout(None)
    whole = int(seconds)
    timeval = struct.pack("@ll", whole, max(1, int((seconds - whole) * 1_000_000)))
    sock.setsockopt(socket.SOL_SOCKET, operation, timeval)


def _in_time(operation: Callable[[A], R], argument: A) -> R:
    try:
        return operation(argument)
    except BlockingIOError:
        raise TimeoutError from None


def _own_name(sock: socket.socket) -> str:
    """Return the name for EHLO: this host's, or where that has no domain, its address.

    RFC 5321 §4.1.4: an address literal serves where there is no meaningful domain name.
    """
    name = socket.gethostname()
    if "." in name and name.isascii():
        return name
    address = sock.getsockname()[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def _excerpt(line: bytes) -> str:
    return printable(line.decode("ascii", "replace"))[:EXCERPT_CHARACTERS]
