"""Through a real Postfix, the relay that most of them are."""

import base64
import re
from collections import Counter
from email import message_from_bytes, policy
from typing import Any

from consumer.core.compose import compose
from publisher_lib import Email, Publisher
from tests.support.broker import VirtualHost
from tests.support.consumer_process import consuming, wait_until
from tests.support.postfix import postfix

PROBES = 1
"""Of the test's own, to find out whether it answers yet."""

GIF = base64.b64encode(b"GIF89a" + bytes(range(256)) * 40).decode()
MESSAGE_ID = re.compile(rb"^Message-ID: <([^@>]+)@", re.MULTILINE)

EMAILS: dict[str, dict[str, Any]] = {
    "plain": {"message": {"text": "Hello"}},
    "dots": {"message": {"text": ".\n..\n.dot\n" + "." * 997 + "\n.\n"}},
    "long lines": {"message": {"text": "word " * 2000, "html": f"<p>{'x' * 5000}</p>"}},
    "beyond ascii": {
        "subject": "Grüße an 東京 " * 8,
        "email_from": "Jürgen Müller <app@example.org>",
        "message": {"text": "Straße\n" * 30, "html": "<p>日本語</p>" * 200},
    },
    "a mailbox beyond ascii": {"email_to": "jörg@example.org", "message": {"text": "Hallo"}},
    "files": {
        "message": {"text": "see", "html": '<img src="cid:logo">'},
        "attachments": [
            {
                "filename": "logo.gif",
                "content_type": "image/gif",
                "content": GIF,
                "content_id": "logo",
            },
            {
                "filename": "Übersicht.bin",
                "content_type": "application/octet-stream",
                "content": GIF,
            },
        ],
    },
}


def test_each_octet_that_was_composed_arrives(vhost: VirtualHost) -> None:
    emails = [email(**data) for data in EMAILS.values()]
    vhost.declare_topology()
    with postfix() as relay, consuming(vhost.url, relay.url):
        with Publisher(vhost.app_url) as publisher:
            receipts = publisher.publish_many(emails)
        wait_until(lambda: len(relay.mails()) == len(emails), 30, "all mails")
        arrived = {id_of(mail): mail for mail in relay.mails()}

    for sent, receipt in zip(emails, receipts, strict=True):
        mail = arrived[receipt.message_id]
        # The one field that the mail itself need not tell, to the second.
        date = message_from_bytes(mail, policy=policy.default)["Date"].datetime
        content = compose(sent, receipt.message_id, date).content
        assert mail.endswith(b"\n" + content.replace(b"\r\n", b"\n"))


def test_it_takes_envelopes_that_are_told_ahead(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    with Publisher(vhost.app_url) as publisher:
        receipts = publisher.publish_many([email(subject=f"Mail {i}") for i in range(80)])
    with postfix() as relay, consuming(vhost.url, relay.url, smtp_sessions=1) as process:
        wait_until(lambda: len(relay.mails()) >= len(receipts), 30, "all mails")
        process.terminate()
        arrived = Counter(map(id_of, relay.mails()))
        log = relay.log

    assert arrived == Counter(receipt.message_id for receipt in receipts)
    # Where it objected, the session would end, and a mail would go over the next.
    assert len(re.findall(r"smtpd\[\d+\]: connect from", log)) - PROBES == 1
    assert "pipelining" not in log


def email(**data: Any) -> Email:
    return Email.model_validate(
        {
            "email_to": "ada@example.org",
            "email_from": "app@example.org",
            "subject": "Hi",
            "message": {"text": "Hello"},
            **data,
        }
    )


def id_of(mail: bytes) -> str:
    found = MESSAGE_ID.search(mail)
    assert found is not None
    return found[1].decode()
