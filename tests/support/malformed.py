"""Publishes header tables that a broker forwards and pika cannot decode, or not write again."""

import struct
from typing import Any

import pika
from pika import data

from publisher_lib.routing import EXCHANGE, Lane
from tests.support.broker import VirtualHost

DEPTH = 2_000


def _entry(name: bytes, kind: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + kind + value


def _table(entries: bytes) -> bytes:
    return struct.pack(">I", len(entries)) + entries


def _nested(depth: int) -> bytes:
    entries = b""
    for _ in range(depth):
        entries = _entry(b"n", b"F", _table(entries))
    return entries


SHAPES = {
    "timestamp": _entry(b"t", b"T", struct.pack(">Q", 2**62)),
    "depth": _nested(DEPTH),
}
UNWRITABLE = {"double": _entry(b"traceparent", b"d", struct.pack(">d", 1e300))}


class _Raw(pika.BasicProperties):  # type: ignore[misc]  # pika has no types
    """Properties whose header table is these bytes."""

    def __init__(self, entries: bytes, **properties: Any) -> None:
        super().__init__(headers={}, **properties)
        self._entries = entries

    def encode(self) -> list[bytes]:
        """Encode with the header table replaced."""
        encoded = b"".join(super().encode())
        empty = b"".join(_encoded_empty_table())
        before, found, after = encoded.partition(empty)
        assert found
        return [before, _table(self._entries), after]


def _encoded_empty_table() -> list[bytes]:
    pieces: list[bytes] = []
    data.encode_table(pieces, {})
    return pieces


def publish_malformed(vhost: VirtualHost, shape: str, body: bytes, message_id: str) -> None:
    """Publish a message, confirmed, with a header table of `SHAPES` or `UNWRITABLE`."""
    with vhost.channel() as channel:
        channel.confirm_delivery()
        properties = _Raw(
            (SHAPES | UNWRITABLE)[shape],
            message_id=message_id,
            type="email.v1",
            content_type="application/json",
            delivery_mode=2,
        )
        channel.basic_publish(EXCHANGE, Lane.TRANSACTIONAL, body, properties, mandatory=True)
