"""Content as it goes over the wire: dot-stuffed, ended by a dot, and unable to smuggle."""

from typing import Final

END_OF_DATA: Final = b".\r\n"
"""After the CRLF that ends the content's last line (RFC 5321 §4.1.1.4)."""


class BareLineEnding(ValueError):
    """The content holds a CR or LF of its own.

    Relays differ in whether `LF . LF` ends the data, which lets one mail smuggle in another
    (CVE-2023-51764), so it must not leave.
    """


def wire_form(content: bytes) -> bytes:
    """Return RFC 5322 `content` with its leading dots doubled and the final dot appended.

    Raises BareLineEnding unless every CR and LF is part of a CRLF.
    """
    line_ends = content.count(b"\r\n")
    if content.count(b"\n") != line_ends or content.count(b"\r") != line_ends:
        raise BareLineEnding
    stuffed = content.replace(b"\r\n.", b"\r\n..")
    first = b"." if content.startswith(b".") else b""
    last = b"" if content.endswith(b"\r\n") or not content else b"\r\n"
    return b"".join((first, stuffed, last, END_OF_DATA))
