"""Masks addresses and quotations in what is logged: enough to recognise, too little to know."""

import re
from collections.abc import Iterable
from typing import Final

LEAST_TELLING_NAME: Final = 3
"""Shorter names are left where they stand without a domain: too many words hold them."""

ADDRESS: Final = re.compile(r"""("[^"]*"|[^\s<>"'(),:;@]+)(?:@|%40)([^\s<>"'(),:;@]+)""")

LINK: Final = re.compile(
    r"(?:([a-z][a-z0-9+.-]{0,20}://)(?:[^\s/?#]*@)?([\w.-]*)"
    r"|((?:[\w-]+\.)+[\w-]+)(?::\d+)?[/?#])\S*",
    re.IGNORECASE,
)
"""A URL, also one without its scheme: a path or query often is a secret for one recipient."""

QUOTED: Final = (
    re.compile(r"""\"(?:.*"(?!\w)|.*)""", re.DOTALL),
    re.compile(r"[«»„“”‹›‚‘](?:.*[«»“”‹›‘’]|.*)", re.DOTALL),  # noqa: RUF001 - quotation marks
    re.compile(r"(?<!\w)['`](?:.*['`](?!\w)|.*)", re.DOTALL),
)
"""From the first mark to the last, for what is quoted may hold some; or to the end, cut off."""


WORD: Final = re.compile(r"[A-Za-z0-9_-]{4,}")
LIKE_A_SECRET: Final = re.compile(r".*(?:[0-9]|[a-z][A-Z])|.{12}")
"""A code, a token: what no sentence is made of."""


TELLING: Final = re.compile(r"""["'`«»„“”‹›‚‘’/?#@%]""")  # noqa: RUF001 - quotation marks
"""Without one of these, nothing is quoted, a link, or an address."""


def mask(address: str) -> str:
    """Return an address of which only the first character and the domain can be read."""
    name, _, domain = address.rpartition("@")
    return f"{name.strip(chr(34))[:1]}***@{domain}"


def mask_addresses(text: str, recipients: Iterable[str] = ()) -> str:
    """Return `text` with each address masked, and each recipient's name where it stands alone.

    Relays echo addresses, some of them only the part before the @.
    """
    if not text:
        return text
    return _mask_names(ADDRESS.sub(lambda found: mask(f"{found[1]}@{found[2]}"), text), recipients)


def _mask_names(text: str, recipients: Iterable[str]) -> str:
    folded = text.casefold()
    for recipient in recipients:
        name = recipient.rpartition("@")[0].strip('"')
        if len(name) >= LEAST_TELLING_NAME and name.casefold() in folded:
            alone = re.compile(re.escape(name), re.IGNORECASE)
            text = alone.sub(lambda found: f"{found[0][:1]}***", text)
    return text


def mask_quotations(text: str, recipients: Iterable[str] = ()) -> str:
    """Return a relay's words without what they repeat of a mail: quoted text, links, addresses.

    Of a link the scheme and host are left.
    """
    if not TELLING.search(text):
        return _mask_names(text, recipients)
    for marks in QUOTED:
        text = marks.sub('"…"', text)
    text = LINK.sub(lambda found: f"{found[1] or ''}{found[2] or found[3] or ''}/…", text)
    return mask_addresses(text, recipients)


def mask_echoes(text: str, body: bytes, recipients: Iterable[str] = ()) -> str:
    """Return a relay's words without what may be a secret and stands in the mail's body too.

    Relays that filter by content name what they found. Recipients are not in question here.
    """
    known = " ".join(recipients)

    def masked(found: re.Match[str]) -> str:
        word = found[0]
        is_echo = LIKE_A_SECRET.match(word) and word not in known and word.encode() in body
        return "…" if is_echo else word

    return WORD.sub(masked, text)
