"""Bodies of messages as an attacker, a broken client or a bad disk would write them; seeded."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Final

CANARY: Final = "c4n4ry"
"""In every text, subject and address made here: no log line may hold it."""

DOMAIN: Final = "example.org"
DEPTH: Final = 100_000
MEBIBYTE: Final = 1024 * 1024
VECTORS: Final = tuple(
    case["data"]
    for path in sorted((Path(__file__).parents[2] / "schemas" / "vectors").glob("*.json"))
    for case in json.loads(path.read_text())
)

STRINGS: Final = (
    "", "\0", "\n", "\r", "\x7f", "\x85", "\u2028", "\u2029", "\ufeff", "\ud800", "\udfff\ud800",
    f"x\r\nBcc: {CANARY}@{DOMAIN}", f"x\nBcc: {CANARY}@{DOMAIN}", "x\r\n.\r\nMAIL FROM:<x@y>\r\n",
    f"{CANARY}@{DOMAIN}> SIZE=1", f"<@relay.example:{CANARY}@{DOMAIN}>", f'"{CANARY} b"@{DOMAIN}',
    f"{CANARY}@[192.0.2.1]", "a@b@c", "a@-b.c", "a@b..c", "@", "=?utf-8?q?=0D=0ABcc:_x?=",
    f"{CANARY}@" + "é" * 300, "x" * 999, "x" * 70_000, "2026-02-30T00:00:00Z", "${jndi:ldap://x}",
    "{{7*7}}", "%s%s%n", "../../etc/passwd", 'a/b; c="\r\n', "QQ=", "\\ud800", "__proto__",
)  # fmt: skip
VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 2**63, 2**64, 10**4000, 0.1, 1e308, [], {}, [[]], [None], [{}],
    {"a": {"b": {}}}, [0] * 5000, {f"k{n}": n for n in range(3000)}, [[[[[[]]]]]],
)  # fmt: skip
FIELDS: Final = (
    "email_to", "email_from", "subject", "message", "cc", "bcc", "reply_to", "headers",
    "attachments", "send_at", "expires_at", "if_uncertain", "__class__", "", "\ud800",
)  # fmt: skip
NUMBERS: Final = (b"NaN", b"-Infinity", b"1e999", b"-1e999", b"9" * 5_000, b"9" * 500_000, b"-0")

INVALID_UTF8: Final = (
    *(b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x80", b"\x80", b"\xfe"),
)
NO_JSON: Final = (
    b"", b" ", b"null", b"[]", b"{}", b'""', b"0", b"true", b"\0", b"{", b"}", b'{"a"', b"[1,]",
    b"{'a': 1}", b'{"a": 1,}', b'// c\n{"a": 1}', b"<?xml version='1.0'?><email/>",
    b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
    b"cos\nsystem\n(S'id'\ntR.", b"\x81\xa8email_to\xa1a", b"\x0a\x03abc", b"--- !!python/none\n",
)  # fmt: skip


class HostileBodies:
    """An endless stream of bodies; the same seed gives the same."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._kinds: tuple[tuple[int, Callable[[], bytes]], ...] = (
            (250, self._email),
            (250, self._flipped),
            (300, self._with_hostile_fields),
            (100, self._misencoded),
            (80, self._cut_or_doubled),
            (60, self._with_odd_number),
            (50, lambda: random.choice(NO_JSON)),
            (30, lambda: random.randbytes(random.randrange(2000))),
            (10, self._deep),
            (4, self._enormous),
        )

    def next(self) -> bytes:
        """Return the next body."""
        weights = [weight for weight, _make in self._kinds]
        ((_weight, make),) = self._random.choices(self._kinds, weights)
        return make()

    def _plain(self) -> dict[str, Any]:
        number = self._random.randrange(10**9)
        return {
            "email_to": f"Ada {CANARY} <{CANARY}-{number}@{DOMAIN}>",
            "email_from": f"{CANARY}@{DOMAIN}",
            "subject": f"{CANARY} {number} {self._unusual()}",
            "message": {"text": f"{CANARY}\n.\n{self._unusual()}", "html": f"<p>{CANARY}"},
        }

    def _unusual(self) -> str:
        return "".join(chr(self._random.randrange(0x20, 0x7F)) for _ in range(20)) + "é€😀"

    def _email(self) -> bytes:
        return _json(self._plain())

    def _flipped(self) -> bytes:
        body = bytearray(_json(self._random.choice(VECTORS)))
        for _ in range(self._random.choice((0, 1, 1, 2, 8))):
            place = self._random.randrange(len(body))
            match self._random.randrange(3):
                case 0:
                    body[place] ^= 1 << self._random.randrange(8)
                case 1:
                    body.insert(place, self._random.randrange(256))
                case _:
                    del body[place]
        return bytes(body)

    def _with_hostile_fields(self) -> bytes:
        email = self._plain()
        for _ in range(self._random.choice((1, 1, 2, 4))):
            email[self._random.choice(FIELDS)] = self._hostile()
        return _json(email)

    def _hostile(self) -> Any:
        random = self._random
        value = random.choice(STRINGS if random.random() < 0.6 else VALUES)
        match random.randrange(5):
            case 0:
                return [value, f"{CANARY}@{DOMAIN}"]
            case 1:
                return {random.choice(("text", "html", "X-A", "Bcc", f"x{value!s:.50}")): value}
            case 2:
                file = {"filename": "a", "content_type": "text/plain", "content": "QQ=="}
                return [{**file, random.choice((*file, "content_id", "x")): value}]
            case _:
                return value

    def _misencoded(self) -> bytes:
        text = _json(self._plain())
        random = self._random
        match random.randrange(6):
            case 0:
                place = random.randrange(len(text))
                return text[:place] + random.choice(INVALID_UTF8) + text[place:]
            case 1:
                return text.decode().encode(random.choice(("utf-16", "utf-16-be", "utf-32")))
            case 2:
                return b"\xef\xbb\xbf" + text
            case 3:
                return gzip.compress(text, mtime=0)
            case 4:
                return text.replace(CANARY.encode(), CANARY.encode() + b"\\ud83d")
            case _:
                return text.replace(
                    CANARY.encode(), CANARY.encode() + bytes([random.randrange(32)])
                )

    def _cut_or_doubled(self) -> bytes:
        text = _json(self._plain())
        match self._random.randrange(4):
            case 0:
                return text[: self._random.randrange(len(text))]
            case 1:
                return text + text
            case 2:
                return text[:-1] + b', "subject": 7}'
            case _:
                return text[:-1] + b"," + _json(self._plain())[1:]

    def _with_odd_number(self) -> bytes:
        name = self._random.choice(FIELDS[:-1]).encode()
        number = self._random.choice(NUMBERS)
        return _json(self._plain())[:-1] + b',"' + name + b'":' + number + b"}"

    def _deep(self) -> bytes:
        opening, closing = self._random.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'[{"":', b"}]")))
        depth = self._random.choice((100, 200, 5_000, DEPTH))
        nested = opening * depth + b"1" + closing * depth * self._random.randrange(2)
        return self._random.choice((nested, _json(self._plain())[:-1] + b',"cc":' + nested + b"}"))

    def _enormous(self) -> bytes:
        size = self._random.randrange(1, 4) * MEBIBYTE
        email = self._plain()
        match self._random.randrange(5):
            case 0:
                email["email_to"] = f"{CANARY}@" + "a." * (size // 2)
            case 1:
                email["subject"] = CANARY + "x" * size
            case 2:
                email["bcc"] = [f"{CANARY}@{DOMAIN}"] * (size // 20)
            case 3:
                email["headers"] = {f"X-{number}": "x" for number in range(size // 16)}
            case _:
                email["message"]["text"] = "\r.\n" * (size // 3)
        return _json(email)


def _json(data: object) -> bytes:
    return json.dumps(data).encode()
