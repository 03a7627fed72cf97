"""Hides what is secret in a URL, and all of a text that may be one gone wrong."""

import re
from typing import Final

HIDDEN: Final = "***"

URL: Final = re.compile(
    r"(?P<scheme>[a-z]{1,10})://"
    r"(?:(?P<user>[^:@/?#\s]*):[^@\s]*@)?"
    r"(?P<place>(?:[\w.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?(?:/[\w.%-]*)?)",
    re.IGNORECASE,
)
"""Options are left out: their values may be secrets too."""

LEDGER_FILE: Final = re.compile(r"[a-z]{1,10}|(?:sqlite:/{1,4}|/)[\w.%/-]{0,80}(?:\?[\w=&]{0,40})?")

SEPARATOR: Final = re.compile(r",\s*(?=[a-z]{1,10}://)", re.IGNORECASE)


def mask_given(text: str) -> str:
    """Return `text`, and where it holds what a URL or a login would hold, as `mask_urls`.

    People give URLs under the wrong name.
    """
    return mask_urls(text) if "://" in text or "@" in text else text


def mask_ledger(text: str) -> str:
    """Return `text` where it is a word or names a file: no login; else as `mask_urls`."""
    return text if LEDGER_FILE.fullmatch(text) else mask_urls(text)


def mask_urls(text: str) -> str:
    """Return URLs, comma-separated, without passwords; what is no clear URL wholly hidden."""
    return ",".join(_mask(url.strip()) for url in SEPARATOR.split(text))


def _mask(url: str) -> str:
    address, question_mark, options = url.partition("?")
    found = URL.fullmatch(address)
    if found is None or "@" in options:
        return HIDDEN
    login = "" if found["user"] is None else f"{found['user']}:{HIDDEN}@"
    return f"{found['scheme']}://{login}{found['place']}{question_mark and '?…'}"
