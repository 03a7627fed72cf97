"""Properties and header tables as no client of ours writes them, with what the contract says."""

import struct
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import pika
from pika import data

DOUBLES: Final = (0.5, -1e300, 1e300, float("nan"), float("inf"))
MOMENTS: Final = (0, 1_795_521_600, 2**31, 2**62, 2**64 - 1)
NAMES: Final = (
    b"", b"n" * 255, b"\xff\xfe", b"a\r\nb", b"x-published-at-ms", b"traceparent", b"tracestate",
    b"x-death", b"x-delivery-count", b"x-first-death-reason", b"x-hopmail-attempt", b"x-delay",
    b"x-hopmail-pending", b"x-hopmail-login", b"x-hopmail-first-published-ms", b"x-hopmail-reason",
)  # fmt: skip
TRAIL: Final = frozenset(
    {"x-hopmail-attempt", "x-hopmail-pending", "x-hopmail-login", "x-hopmail-first-published-ms"}
)
FORGED: Final[dict[str, Any]] = {
    "x-hopmail-attempt": 10**6,
    "x-hopmail-pending": ["victim@example.org", "a@b>\r\nDATA", 7],
    "x-hopmail-login": "hopmail",
    "x-hopmail-first-published-ms": 1,
    "x-death": [{"queue": "email.transactional.v1", "reason": "rejected", "count": 2**40}],
    "x-delivery-count": 10**6,
}

FINE: Final[dict[str, tuple[Any, ...]]] = {
    "content_type": (None, "", "application/json; charset=utf-8", "Application/JSON"),
    "content_encoding": ("", "identity", "utf-8"),
    "delivery_mode": (0, 1, 3, 255),
    "priority": (0, 1, 9, 255),
    "correlation_id": ("", "x" * 255, b"\xff\xfe", "a\r\nb"),
    "reply_to": ("", "x" * 255, b"\xff", "amq.rabbitmq.reply-to", "x@example.org\r\n"),
    "expiration": ("86400000", "-1", "soon", "9" * 255, b"\xff"),
    "timestamp": (0, 1, 2**31, 2**62, 2**63, 2**64 - 1),
    "user_id": ("admin", "hopmail", b"\xff"),
    "cluster_id": ("x" * 255, b"\xff"),
}
"""An email stays an email with these, where the broker takes them at all."""

WRONG: Final[dict[str, tuple[Any, ...]]] = {
    "message_id": (
        *(None, "", "a b", "é", "\0", "a\r\nBcc: x@example.org", "a\u2028b", b"\xff\xfe"),
        *("x" * 201, "x" * 255),
    ),
    "type": (None, "", "email.v2", "EMAIL.V1", "email.v1\0", " email.v1", b"\xffmail", "x" * 255),
    "content_type": (
        *("text/plain", "application/json+x", "application/x-python-serialize", "json", b"\xff"),
        *("multipart/mixed; boundary=x", "x" * 255, "application/json\0", "application/xml"),
    ),
    "content_encoding": ("gzip", "br", "utf-16", "base64", "identity, gzip", b"\xff", "x" * 255),
}
"""With one of these nothing is an email."""


class Properties(pika.BasicProperties):  # type: ignore[misc]  # pika has no types
    """Properties; where `table` is not None, their header table is these bytes."""

    table: bytes | None = None

    def encode(self) -> list[bytes]:
        """Encode, with the header table replaced."""
        encoded = b"".join(super().encode())
        if self.table is None:
            return [encoded]
        before, found, after = encoded.partition(_MARK)
        assert found
        return [before, struct.pack(">I", len(self.table)), self.table, after]


_MARK: Final = struct.pack(">I", 11) + b"\x04mark" + b"S" + struct.pack(">I", 1) + b"m"


@dataclass(frozen=True)
class Choice:
    """Properties, whether the contract reads a message with them, whether they claim to be ours."""

    properties: Properties
    message_id: Any
    are_readable: bool
    are_decodable: bool
    are_forged: bool


class HostileProperties:
    """An endless stream of properties; the same seed gives the same."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def next(self, key: str) -> Choice:
        """Return properties whose `app_id`, and if nothing else `message_id`, is `key`."""
        random = self._random
        values: dict[str, Any] = {
            "message_id": random.choice((key, f"{key}!#$%&'*+/=?^_`{{|}}~")),
            "type": "email.v1",
            "content_type": "application/json",
            "delivery_mode": 2,
            "app_id": key,
        }
        (odd,) = random.choices((None, FINE, WRONG), (65, 20, 15))
        if odd is not None:
            name = random.choice(list(odd))
            values[name] = random.choice(odd[name])
        table = self._table() if random.random() < 0.2 else None
        if table is not None:
            values["headers"] = {"mark": "m"}
        elif random.random() < 0.2:
            values["headers"] = FORGED
        properties = Properties(**values)
        properties.table = table
        headers = values.get("headers", {}) if table is None else _decoded(table)
        decodable = headers is not None
        forged = headers is not None and not TRAIL.isdisjoint(headers)
        readable = decodable and not forged and odd is not WRONG
        return Choice(properties, values["message_id"], readable, decodable, forged)

    def _table(self) -> bytes:
        match self._random.randrange(8):
            case 0:
                return _nested(self._random.choice((1, 50, 3_000)))
            case 1:
                return _entry(b"huge", b"S", _long(b"h" * self._random.randrange(100_000)))
            case 2:
                return b"".join(_entry(b"%d" % n, b"t", b"\1") for n in range(10_000))
            case 3:
                return self._random.randbytes(self._random.randrange(1, 40))
            case _:
                count = self._random.randrange(1, 6)
                return b"".join(self._any_entry() for _ in range(count))

    def _any_entry(self) -> bytes:
        random = self._random
        number = random.randbytes(8)
        kind, value = random.choice(
            (
                *((b"t", b"\2"), (b"b", b"\x80"), (b"B", b"\xff"), (b"s", b"\x80\0")),
                *((b"u", b"\xff\xff"), (b"I", number[:4]), (b"i", b"\xff\xff\xff\xff")),
                *((b"l", number), (b"L", number), (b"U", b"\xff\xff"), (b"V", b"")),
                (b"d", struct.pack(">d", random.choice(DOUBLES))),
                (b"f", struct.pack(">f", random.choice((0.5, float("nan"), float("inf"))))),
                (b"D", bytes([random.randrange(256)]) + number[:4]),
                (b"T", struct.pack(">Q", random.choice(MOMENTS))),
                (b"S", _long(random.choice((b"", b"\xff", b"a\r\nb", b"\0", b"1", b"x" * 600)))),
                *((b"x", _long(number)), (b"A", _long(b"I" + number[:4] + b"V"))),
                *((b"F", _long(_entry(b"\xff", b"V", b""))), (b"Z", number)),
            )
        )
        return _entry(random.choice(NAMES), kind, value)


def _entry(name: bytes, kind: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + kind + value


def _long(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def _nested(depth: int) -> bytes:
    entries = b""
    for _ in range(depth):
        entries = _entry(b"n", b"F", _long(entries))
    return entries


def _decoded(table: bytes) -> dict[str, Any] | None:
    try:
        decoded: dict[str, Any] = data.decode_table(_long(table), 0)[0]
    except Exception:  # noqa: BLE001 - pika lets struct, datetime, recursion errors through
        return None
    return decoded
