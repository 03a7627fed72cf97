"""Masks addresses in what is logged: enough is left to recognise, not enough to know."""

import re
from collections.abc import Iterable
from typing import Final

LEAST_TELLING_NAME: Final = 3
"""Shorter names are left where they stand without a domain: too many words hold them."""

ADDRESS: Final = re.compile(r"""("[^"]*"|[^\s<>"'(),:;@]+)(?:@|%40)([^\s<>"'(),:;@]+)""")


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
    text = ADDRESS.sub(lambda found: mask(f"{found[1]}@{found[2]}"), text)
    folded = text.casefold()
    for recipient in recipients:
        name = recipient.rpartition("@")[0].strip('"')
        if len(name) >= LEAST_TELLING_NAME and name.casefold() in folded:
            alone = re.compile(re.escape(name), re.IGNORECASE)
            text = alone.sub(lambda found: f"{found[0][:1]}***", text)
    return text
