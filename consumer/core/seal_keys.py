"""The keys of sealed bodies, as text: one that seals and cannot open, and the one that opens."""

import base64
import hashlib
import re
from dataclasses import field
from typing import Final

from consumer.core.dead_body import KEY_ID_BYTES
from consumer.core.record import record

SEAL: Final = "hopmail-seal-"
OPEN: Final = "hopmail-open-"

KEY_BYTES: Final = 32
CHECK_BYTES: Final = 4

MAKE_ONE: Final = "`hopmail deadletters keygen FILE` makes one"
DAMAGED: Final = "is damaged: a character of a key is missing or wrong"


@record
class SealKey:
    """The public half (X25519, RFC 7748). Who has it can seal, and not open."""

    public: bytes

    @property
    def id(self) -> bytes:
        """The key's id."""
        return hashlib.sha256(self.public).digest()[:KEY_ID_BYTES]

    def to_text(self) -> str:
        """Return the key as `read_seal_key` reads it."""
        return _text(SEAL, self.public)


@record
class OpenKey:
    """The private half."""

    private: bytes = field(repr=False)

    def to_text(self) -> str:
        """Return the key as `read_open_keys` reads it."""
        return _text(OPEN, self.private)


def read_seal_key(text: str) -> SealKey | None:
    """Read the key that seals; None of an empty text. Raises ValueError, which quotes no key."""
    words = _words(text)
    if any(word.startswith(OPEN) for word in words):
        raise ValueError(f"is a key that opens: who seals must not have it; give the {SEAL}… one")
    if len(words) > 1:
        raise ValueError("must be one key: those before it are needed to open only")
    return SealKey(_raw(SEAL, words[0])) if words else None


def read_open_keys(text: str) -> tuple[OpenKey, ...]:
    """Read the keys that open, a line each; `#` begins a remark. Raises as `read_seal_key`."""
    return tuple(OpenKey(_raw(OPEN, word)) for word in _words(text))


def _words(text: str) -> list[str]:
    return re.sub(r"#.*", "", text).replace(",", " ").split()


def _text(prefix: str, raw: bytes) -> str:
    return prefix + base64.urlsafe_b64encode(raw + _check(prefix, raw)).decode()


def _raw(prefix: str, word: str) -> bytes:
    if not word.startswith(prefix):
        raise ValueError(f"must be {prefix}…; {MAKE_ONE}")
    try:
        found = base64.b64decode(word.removeprefix(prefix), altchars=b"-_", validate=True)
    except ValueError:
        raise ValueError(DAMAGED) from None
    # One wrong character, and nobody would ever open what is sealed.
    raw, check = found[:KEY_BYTES], found[KEY_BYTES:]
    if len(raw) != KEY_BYTES or check != _check(prefix, raw):
        raise ValueError(DAMAGED)
    return raw


def _check(prefix: str, raw: bytes) -> bytes:
    return hashlib.sha256(prefix.encode() + raw).digest()[:CHECK_BYTES]
