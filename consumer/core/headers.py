"""Header fields as octets: folded, and encoded where they hold more than ASCII."""

import base64
import re
from collections.abc import Iterable, Iterator
from typing import Final

from publisher_lib.mailbox import Mailbox

PREFERRED_LINE: Final = 78
LONGEST_LINE: Final = 998
"""Without CRLF (RFC 5322 §2.1.1)."""

LONGEST_QUOTED_NAME: Final = 60
ENCODED_LINE: Final = 76
ENCODED_WORD: Final = 75
SHORTEST_FIRST_WORD: Final = 24
ENCODING_MARKS: Final = len("=?utf-8?b??=")

_PHRASE: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_WORDS: Final = re.compile(r" *[^ ]+| +")
_Q_SAFE: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
_Q: Final = tuple(
    chr(octet) if octet in _Q_SAFE else "_" if octet == ord(" ") else f"={octet:02X}"
    for octet in range(256)
)


def unstructured(name: str, value: str) -> str:
    """Return a field whose value is free text (RFC 5322 §2.2.1), without the last CRLF."""
    if value.isascii() and "=?" not in value:
        if len(name) + 2 + len(value) <= PREFERRED_LINE:
            return f"{name}: {value}"
        lines = _folded(f"{name}:", value)
        if max(map(len, lines)) <= LONGEST_LINE:
            return "\r\n".join(lines)
    return f"{name}: " + "\r\n ".join(_encoded_words(value, len(name) + 2))


def address_list(name: str, mailboxes: Iterable[Mailbox]) -> str:
    """Return a field of mailboxes, folded between them (RFC 5322 §3.4)."""
    lines = [f"{name}:"]
    for number, mailbox in enumerate(mailboxes):
        if number:
            lines[-1] += ","
        for word in _mailbox_words(mailbox):
            if len(lines[-1]) + 1 + len(word) > PREFERRED_LINE and lines[-1] != f"{name}:":
                lines.append("")
            lines[-1] += f" {word}"
    return "\r\n".join(lines)


def _folded(start: str, value: str) -> list[str]:
    """Break before spaces that a word follows, so that unfolding gives the value back."""
    lines = [start]
    for word in _WORDS.findall(f" {value}"):
        fits = len(lines[-1]) + len(word) <= PREFERRED_LINE
        if fits or word.isspace() or lines[-1] == start:
            lines[-1] += word
        else:
            lines.append(word)
    return lines


def _mailbox_words(mailbox: Mailbox) -> Iterator[str]:
    if not mailbox.name:
        yield mailbox.address
        return
    yield from _phrase(mailbox.name)
    yield f"<{mailbox.address}>"


def _phrase(name: str) -> Iterable[str]:
    if name.isascii() and "=?" not in name and len(name) <= LONGEST_QUOTED_NAME:
        if _PHRASE.fullmatch(name):
            return (name,)
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return (f'"{escaped}"',)
    return _encoded_words(name, 0)


def _encoded_words(value: str, taken: int) -> list[str]:
    """Return encoded words (RFC 2047 §2), none longer than 75 and none splitting a character.

    `taken` is what the first line already holds.
    """
    octets = value.encode()
    as_base64 = _q_length(octets) > _b_length(len(octets))
    words: list[str] = []
    room = max(SHORTEST_FIRST_WORD, min(ENCODED_WORD, ENCODED_LINE - taken)) - ENCODING_MARKS
    chunk, length = b"", 0
    for character in value:
        added = character.encode()
        longer = _b_length(len(chunk) + len(added)) if as_base64 else length + _q_length(added)
        if longer > room:
            words.append(_encoded_word(chunk, as_base64=as_base64))
            room = ENCODED_WORD - ENCODING_MARKS
            chunk, length = b"", 0
        chunk += added
        length += _q_length(added)
    words.append(_encoded_word(chunk, as_base64=as_base64))
    return words


def _b_length(octets: int) -> int:
    return -(-octets // 3) * 4


def _q_length(octets: bytes) -> int:
    return sum(len(_Q[octet]) for octet in octets)


def _encoded_word(octets: bytes, *, as_base64: bool) -> str:
    if as_base64:
        return f"=?utf-8?b?{base64.b64encode(octets).decode('ascii')}?="
    return f"=?utf-8?q?{''.join(_Q[octet] for octet in octets)}?="
