"""URLs that may hold a password: read without ever quoting them."""

import re
from collections.abc import Set as AbstractSet
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import SplitResult, urlsplit

PRINTABLE: Final = re.compile(r"[\x21-\x7e]+")
NAME: Final = re.compile(r"(?!-)(?!.{254})[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
HOSTS: Final = (
    "a name in ASCII (xn--… for others), of 1 to 63 characters between dots, or an IP address"
)


def split_url(text: str, schemes: AbstractSet[str], expected: str) -> SplitResult:
    """Split a URL of one of `schemes`.

    Raises ValueError, which ends with what is `expected` and never quotes the URL.
    """
    if not PRINTABLE.fullmatch(text):
        raise ValueError(f"must be printable ASCII, the rest percent-encoded; {expected}")
    if "%00" in text:
        # Neither the files' names nor the logins that are made of it can have one.
        raise ValueError(f"must hold no %00; {expected}")
    try:
        split = urlsplit(text)
    except ValueError:
        # The parser's own words may quote the password.
        raise ValueError(f"cannot be read as a URL; {expected}") from None
    if split.scheme not in schemes:
        raise ValueError(f"the scheme must be {' or '.join(sorted(schemes))}; {expected}")
    if "@" in f"{split.path}{split.query}{split.fragment}":
        raise ValueError(
            "/, ? and # in the user or password must be written %2F, %3F and %23,"
            " an @ elsewhere %40"
        )
    return split


def is_host(text: str) -> bool:
    """Whether it is an IP address, or as long as a name may be, whole and by label.

    RFC 1035 §2.3.4; the resolver raises UnicodeError, which is no OSError, for a wrong label.
    """
    if ":" not in text:
        return NAME.fullmatch(text) is not None
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True
