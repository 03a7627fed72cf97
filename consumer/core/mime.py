"""MIME entities as octets (RFC 2045, RFC 2046): texts, files and the multiparts that hold them."""

import binascii
import re
from typing import Final
from urllib.parse import quote

from consumer.core.headers import LONGEST_LINE
from publisher_lib.message import Attachment

BASE64_LINE: Final = 76
PARAMETER_CHUNK: Final = 60

_UNSAFE_IN_7BIT: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_CHUNKS: Final = re.compile(r"(?:%..|[^%]){1,20}")


def text_entity(subtype: str, text: str) -> bytes:
    """Return a text as an entity; its line ends become CRLF, its last one may be absent."""
    octets = _with_crlf(text).encode()
    if text.isascii() and _fits_7bit(octets):
        encoding, body = "7bit", octets
    else:
        encoding, body = _encoded(octets)
    start = f"Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}"
    return b"%s\r\n\r\n%s" % (start.encode("ascii"), body)


def file_entity(attachment: Attachment, *, inline: bool) -> bytes:
    """Return an attachment as an entity; its base64 is only wrapped anew."""
    disposition = "inline" if inline else "attachment"
    lines = [
        f"Content-Type: {attachment.content_type}",
        "Content-Transfer-Encoding: base64",
        f"Content-Disposition: {disposition};\r\n {_filename(attachment.filename)}",
    ]
    if attachment.content_id is not None:
        lines.append(f"Content-ID: <{attachment.content_id}>")
    return "\r\n".join([*lines, "", _wrapped(attachment.content)]).encode("ascii")


def multipart_entity(subtype: str, boundary: str, entities: list[bytes]) -> bytes:
    """Return entities in one multipart; a boundary that one of them holds is made longer."""
    while any(boundary.encode("ascii") in entity for entity in entities):
        boundary += "_"
    start = f'Content-Type: multipart/{subtype}; boundary="{boundary}"\r\n'.encode("ascii")
    delimiter = b"\r\n--" + boundary.encode("ascii")
    parts = b"".join(b"%s\r\n%s" % (delimiter, entity) for entity in entities)
    return b"%s%s%s--\r\n" % (start, parts, delimiter)


def _with_crlf(text: str) -> str:
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.replace("\n", "\r\n")


def _fits_7bit(octets: bytes) -> bool:
    if _UNSAFE_IN_7BIT.search(octets):
        return False
    return len(octets) <= LONGEST_LINE or max(map(len, octets.split(b"\r\n"))) <= LONGEST_LINE


def _encoded(octets: bytes) -> tuple[str, bytes]:
    """Return the shorter of quoted-printable and base64 (RFC 2045 §6.7, §6.8)."""
    # b2a_qp ends soft lines with CRLF only if the first line of its input ends so.
    quoted = binascii.b2a_qp(octets + b"\r\n", istext=True)[:-2]
    as_base64 = _wrapped(binascii.b2a_base64(octets, newline=False).decode()).encode()
    if len(quoted) <= len(as_base64):
        return "quoted-printable", quoted
    return "base64", as_base64


def _wrapped(encoded: str) -> str:
    return "\r\n".join(
        encoded[start : start + BASE64_LINE] for start in range(0, len(encoded), BASE64_LINE)
    )


def _filename(name: str) -> str:
    if name.isascii() and "=?" not in name:
        escaped = name.replace('"', '\\"')
        return f'filename="{escaped}"'
    encoded = quote(name, safe="")
    if len(encoded) <= PARAMETER_CHUNK:
        return f"filename*=utf-8''{encoded}"
    # Continuations and their charset: RFC 2231 §4.1.
    chunks = _CHUNKS.findall(encoded)
    first = f"filename*0*=utf-8''{chunks[0]}"
    rest = (f"filename*{number}*={chunk}" for number, chunk in enumerate(chunks[1:], start=1))
    return ";\r\n ".join([first, *rest])
