"""Writes an email as RFC 5322 octets: the same email gives the same octets at every attempt."""

import hashlib
import re
from datetime import UTC, datetime
from typing import Final

from consumer.core.envelope import Composed, Envelope
from consumer.core.headers import address_list, unstructured
from consumer.core.mime import file_entity, multipart_entity, text_entity
from publisher_lib.message import Email

DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS: Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip

_DOT_ATOM: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
)


def compose(email: Email, message_id: str, date: datetime) -> Composed:
    """Return the envelope and the content of an email.

    `message_id` names the Message-ID field and the boundaries, `date` the Date field: both stay
    over retries, so that receivers can tell a copy from another mail.
    """
    name = hashlib.sha256(message_id.encode()).hexdigest()[:32]
    left = message_id if _DOT_ATOM.fullmatch(message_id) else name
    lines = [
        address_list("From", (email.sender,)),
        address_list("To", email.to),
        *([address_list("Cc", email.copies)] if email.cc else ()),
        *([address_list("Reply-To", email.replies_to)] if email.reply_to else ()),
        unstructured("Subject", email.subject),
        f"Date: {_date(date)}",
        f"Message-ID: <{left}@{email.sender.domain}>",
        *(unstructured(*header) for header in (email.headers or {}).items()),
        "MIME-Version: 1.0",
    ]
    content = b"%s\r\n%s" % ("\r\n".join(lines).encode(), _body(email, name))
    if not content.endswith(b"\r\n"):
        content += b"\r\n"
    return Composed(Envelope(email.sender.address, email.recipients, message_id), content)


def _body(email: Email, name: str) -> bytes:
    """Nest what there is: mixed(alternative(text, related(html, images)), files)."""
    files = email.attachments or ()
    has_html = email.message.html is not None
    images = [file for file in files if has_html and file.content_id is not None]
    entity = _texts(email, [file_entity(image, inline=True) for image in images], name)
    others = [file_entity(file, inline=False) for file in files if file not in images]
    if others:
        return multipart_entity("mixed", f"=_mixed_{name}", [entity, *others])
    return entity


def _texts(email: Email, images: list[bytes], name: str) -> bytes:
    text, html = email.message.text, email.message.html
    if html is None:
        return text_entity("plain", text or "")
    shown = text_entity("html", html)
    if images:
        shown = multipart_entity("related", f"=_related_{name}", [shown, *images])
    if text is None:
        return shown
    return multipart_entity(
        "alternative", f"=_alternative_{name}", [text_entity("plain", text), shown]
    )


def _date(moment: datetime) -> str:
    """Write a moment as RFC 5322 §3.3 wants it; `strftime` would use the process's language."""
    utc = moment.astimezone(UTC)
    return (
        f"{DAYS[utc.weekday()]}, {utc.day:02} {MONTHS[utc.month - 1]} {utc.year:04} "
        f"{utc.hour:02}:{utc.minute:02}:{utc.second:02} +0000"
    )
