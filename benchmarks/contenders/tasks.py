"""The task that sends one mail: `EmailMessage` and `smtplib`, with and without a kept connection.

The HELO name is given: without it the standard library asks the DNS at each connection, which says
more about the machine's resolver than about the contender.
"""

import smtplib
import threading
from contextlib import suppress
from email.message import EmailMessage
from typing import Final

from benchmarks.contenders.where import smtp_port
from benchmarks.mail import HTML, SENDER, SUBJECT, TEXT, recipient

HOST: Final = "127.0.0.1"
HELO: Final = "app.example.org"

_kept = threading.local()


def fields(number: int) -> dict[str, str]:
    """Return what the task of this number is called with."""
    return {"to": recipient(number), "subject": SUBJECT, "text": TEXT, "html": HTML}


def send(to: str, subject: str, text: str, html: str) -> None:
    """Send a mail over a connection of its own: the usual task."""
    with connect(smtp_port()) as smtp:
        smtp.send_message(message(to, subject, text, html))


def send_kept(to: str, subject: str, text: str, html: str) -> None:
    """Send a mail over the connection that this thread keeps: the tuned task."""
    mail = message(to, subject, text, html)
    with suppress(AttributeError, smtplib.SMTPServerDisconnected):
        _kept.smtp.send_message(mail)
        return
    _kept.smtp = connect(smtp_port())
    _kept.smtp.send_message(mail)


def close_kept() -> None:
    """Close the connection that this thread keeps, if it keeps one."""
    with suppress(AttributeError):
        _kept.smtp.close()


def message(to: str, subject: str, text: str, html: str) -> EmailMessage:
    """Return the mail with both its texts."""
    made = EmailMessage()
    made["From"] = SENDER
    made["To"] = to
    made["Subject"] = subject
    made.set_content(text)
    made.add_alternative(html, subtype="html")
    return made


def connect(port: int) -> smtplib.SMTP:
    """Return a connection to the relay."""
    return smtplib.SMTP(HOST, port, local_hostname=HELO, timeout=60)
