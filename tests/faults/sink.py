"""A fast SMTP server that counts what it took, and can leave the client in doubt.

It remembers a mail before it answers the final dot: what it said 250 to was counted, and what was
counted without an answer is what SMTP leaves unknown (RFC 5321 §6.1).
"""

import asyncio
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Final

MESSAGE_ID: Final = re.compile(rb"^Message-ID: <([^@>]+)@", re.MULTILINE)
END_OF_DATA: Final = b"\r\n.\r\n"
GOODBYE: Final = b"221 2.0.0 bye\r\n"

Pair = tuple[str, str]
"""A message id and a recipient: the unit in which everything is counted."""


class AtDot(Enum):
    """What becomes of a mail whose final dot came."""

    TAKE = "taken, 250"
    TAKE_AND_HANG_UP = "taken, no answer"
    LOSE_AND_HANG_UP = "not taken, no answer"
    STALL = "not taken, never answered"
    REFUSE = "not taken, 451"


def message_id_of(content: bytes) -> str:
    """Return the message id that a mail's Message-ID was made of."""
    found = MESSAGE_ID.search(content)
    assert found is not None, content
    return found[1].decode()


@dataclass(frozen=True, slots=True)
class Taken:
    """One recipient's copy, taken at this moment of the monotonic clock."""

    message_id: str
    recipient: str
    at_seconds: float


class Sink:
    """The server. `at_dot` decides by message id; `answer_after_seconds` is how long 250 takes."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self.taken: list[Taken] = []
        self.at_dot: Callable[[str], AtDot] = lambda _message_id: AtDot.TAKE
        self.answer_after_seconds = 0.0
        self.port = 0
        self._transports: set[asyncio.Transport] = set()
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="sink")

    @property
    def url(self) -> str:
        """The relay URL."""
        return f"smtp://{self.host}:{self.port}?tls=none"

    def accepted(self) -> Counter[Pair]:
        """Return how often each recipient's copy of each message was taken."""
        return Counter((taken.message_id, taken.recipient) for taken in list(self.taken))

    def start(self) -> None:
        """Serve, in a thread of its own; after `stop` not again."""
        self._thread.start()
        assert self._ready.wait(10), "the sink did not start"

    def stop(self) -> None:
        """Close the port and every connection."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        listener = self._loop.run_until_complete(
            self._loop.create_server(partial(_Session, self), self.host, self.port)
        )
        self.port = listener.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        listener.close()
        for transport in list(self._transports):
            transport.abort()
        self._loop.run_until_complete(listener.wait_closed())
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()


class _Session(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._received = b""
        self._recipients: list[str] = []
        self._in_content = False
        self._is_answering = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._sink._transports.add(transport)
        transport.write(b"220 sink.test ESMTP\r\n")

    def connection_lost(self, _error: Exception | None) -> None:
        self._sink._transports.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while not self._is_answering and self._advance():
            pass

    def _advance(self) -> bool:
        end = END_OF_DATA if self._in_content else b"\r\n"
        found, mark, rest = self._received.partition(end)
        if not mark:
            return False
        self._received = rest
        if self._in_content:
            self._end_of_data(found)
        else:
            self._command(found)
        return True

    def _command(self, line: bytes) -> None:
        verb = line[:4].upper()
        if verb == b"EHLO":
            reply = b"250-sink.test\r\n250-PIPELINING\r\n250 ENHANCEDSTATUSCODES\r\n"
        elif verb == b"DATA":
            self._in_content = True
            reply = b"354 go on\r\n"
        elif verb == b"QUIT":
            reply = GOODBYE
        else:
            if verb == b"RCPT":
                self._recipients.append(line.partition(b"<")[2].partition(b">")[0].decode())
            elif verb in {b"MAIL", b"RSET"}:
                self._recipients = []
            reply = b"250 2.0.0 ok\r\n"
        self._transport.write(reply)
        if reply is GOODBYE:
            self._transport.close()

    def _end_of_data(self, content: bytes) -> None:
        self._in_content = False
        message_id = message_id_of(content)
        fate = self._sink.at_dot(message_id)
        if fate in {AtDot.TAKE, AtDot.TAKE_AND_HANG_UP}:
            now = time.monotonic()
            self._sink.taken += [Taken(message_id, name, now) for name in self._recipients]
        if fate is AtDot.STALL:
            self._is_answering = True
        elif fate in {AtDot.TAKE, AtDot.REFUSE}:
            reply = b"250 2.0.0 taken\r\n" if fate is AtDot.TAKE else b"451 4.3.0 not now\r\n"
            self._answer_in_time(reply)
        else:
            self._transport.abort()

    def _answer_in_time(self, reply: bytes) -> None:
        if self._sink.answer_after_seconds:
            self._is_answering = True
            loop = asyncio.get_running_loop()
            loop.call_later(self._sink.answer_after_seconds, self._answer, reply)
        else:
            self._transport.write(reply)

    def _answer(self, reply: bytes) -> None:
        self._is_answering = False
        self._transport.write(reply)
        self.data_received(b"")


@contextmanager
def counting_sink(host: str = "127.0.0.1") -> Iterator[Sink]:
    """Serve for the length of a block."""
    sink = Sink(host)
    sink.start()
    try:
        yield sink
    finally:
        sink.stop()
