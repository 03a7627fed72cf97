"""Properties that pika cannot decode cost their own message, not the connection."""

import struct
from typing import Any

import pika.spec

SHORT_STRINGS_BEFORE_HEADERS = (
    pika.BasicProperties.FLAG_CONTENT_TYPE,
    pika.BasicProperties.FLAG_CONTENT_ENCODING,
)


class TolerantProperties(pika.BasicProperties):  # type: ignore[misc]  # pika has no types
    """Basic properties that remember why they could not be decoded.

    The broker forwards header tables that pika raises on (a timestamp of 2^62, say). Raised in
    the I/O loop, that ends the connection, and the redelivery ends the next one.
    """

    undecodable = ""

    def decode(self, encoded: bytes, offset: int = 0) -> Any:
        """Decode the properties; without their headers, or not at all, where they are broken."""
        try:
            return super().decode(encoded, offset)
        except Exception as error:  # noqa: BLE001 - pika lets struct, datetime, recursion errors through
            reason = f"the header table cannot be decoded ({type(error).__name__})"
        try:
            super().decode(_without_headers(encoded[offset:]))
        except Exception as error:  # noqa: BLE001 - as above
            self.__init__()  # type: ignore[misc]  # back to no properties at all
            reason = f"the properties cannot be decoded ({type(error).__name__})"
        self.undecodable = reason
        return self


def install() -> None:
    """Have pika decode every delivery's properties this way, in this process."""
    pika.spec.props[pika.BasicProperties.INDEX] = TolerantProperties


def _without_headers(encoded: bytes) -> bytes:
    """Cut the header table out of a property list (AMQP 0-9-1 §4.2.6.1)."""
    (flags,) = struct.unpack_from(">H", encoded)
    start = 2
    for flag in SHORT_STRINGS_BEFORE_HEADERS:
        if flags & flag:
            start += 1 + encoded[start]
    (length,) = struct.unpack_from(">I", encoded, start)
    flags &= ~pika.BasicProperties.FLAG_HEADERS
    return struct.pack(">H", flags) + encoded[2:start] + encoded[start + 4 + length :]
