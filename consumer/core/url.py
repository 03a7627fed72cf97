"""URLs that may hold a password: read without ever quoting them."""

import re
from collections.abc import Set as AbstractSet
from typing import Final
from urllib.parse import SplitResult, urlsplit

PRINTABLE: Final = re.compile(r"[\x21-\x7e]+")


def split_url(text: str, schemes: AbstractSet[str], expected: str) -> SplitResult:
    """Split a URL of one of `schemes`.

    Raises ValueError, which ends with what is `expected` and never quotes the URL.
    """
    if not PRINTABLE.fullmatch(text):
        raise ValueError(f"must be printable ASCII, the rest percent-encoded; {expected}")
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
