"""From a reply's bytes to a `Reply` that is safe to log and to store."""

import re
from functools import lru_cache
from typing import Final

from consumer.core.outcome import Reply

LONGEST_TEXT: Final = 300
"""Characters kept of a relay's words: enough for a person, and bounded in headers and logs."""

ENHANCED: Final = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)")
CONTROLS: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")

LOGIN: Final = re.compile(
    r"(AUTH[^\w*]+(?:PLAIN|LOGIN|CRAM-MD5)\b[^\w*]*)([a-z0-9+/=]+)(.*)", re.IGNORECASE | re.DOTALL
)
"""The command (RFC 4954 §4) with its credentials, by the mechanisms that we speak."""

BASE64: Final = re.compile(r"[A-Za-z0-9+/]{8,}={0,2}|[A-Za-z0-9+/]+={1,2}")
"""Padded, or as long as the least that holds user and password; most words are shorter."""


# Most words of a relay are the same for each mail: those to MAIL, RCPT and DATA.
@lru_cache(maxsize=64)
def reply_of(code: int, text: bytes) -> Reply:
    """Return the reply; `text` has the lines after their codes, joined by LF.

    The enhanced code (RFC 3463) is taken off every line that repeats it (RFC 2034 §4).
    """
    lines = text.decode("utf-8", "replace").split("\n")
    enhanced = _enhanced(code, lines[0])
    if enhanced:
        lines = [line.strip().removeprefix(enhanced) for line in lines]
    return Reply(code, enhanced, printable(" ".join(lines)))


def printable(text: str) -> str:
    """Return `text` on one line, free of controls and logins, cut to what is worth keeping.

    Relays quote the command that they refuse, some of them an earlier one.
    """
    text = LOGIN.sub(_without_credentials, text)
    return CONTROLS.sub(" ", text[: 4 * LONGEST_TEXT]).strip()[:LONGEST_TEXT]


def _without_credentials(found: re.Match[str]) -> str:
    return f"{found[1]}***{BASE64.sub('***', found[3])}"


def _enhanced(code: int, line: str) -> str:
    found = ENHANCED.match(line.strip())
    # RFC 2034 §4: its class is the reply code's; a text that merely looks like one is text.
    return found[1] if found and found[1][0] == str(code)[0] else ""
