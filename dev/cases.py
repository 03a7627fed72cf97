"""The demo's messages, and what is to become of each."""

import base64
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pika

from dev.connect import connected
from dev.relay import LATER, NOBODY
from publisher_lib import Attachment, Content, Email, Publisher
from publisher_lib.routing import CONTENT_TYPE, EXCHANGE, PUBLISHED_AT_MS, TYPE, Lane

APP: Final = "Demo App <noreply@app.example>"

ACCEPTED: Final = "accepted"
DEAD: Final = "dead letter"


@dataclass(frozen=True)
class Case:
    """A message, how it is published (giving its id back), and what must become of it."""

    title: str
    publish: Callable[[Publisher, str], str]
    fate: str = ACCEPTED
    attempts: int = 1


def _verify_email(publisher: Publisher, _url: str) -> str:
    return publisher.send(
        to="Ada Lovelace <ada@example.org>",
        from_=APP,
        subject="Confirm your address",
        text="Welcome! Open https://app.example/verify?token=s3cr3t to confirm your address.",
        html='<p>Welcome! <a href="https://app.example/verify?token=s3cr3t">Confirm</a></p>',
    ).message_id


def _reset_password(publisher: Publisher, _url: str) -> str:
    return publisher.send(
        to="grace@example.org",
        from_=APP,
        subject="Reset your password",
        text="Choose a new one within the hour: https://app.example/reset?token=s3cr3t",
    ).message_id


def _invoice(publisher: Publisher, _url: str) -> str:
    invoice = Attachment(
        filename="Rechnung-März.csv",
        content_type="text/csv; charset=utf-8",
        content=base64.b64encode("Position;Betrag\nHosting März;12,00 €\n".encode()).decode(),
    )
    email = Email(
        email_to="Zoë Ångström <zoe@example.org>",
        cc="山田 花子 <hanako@example.org>",
        email_from=APP,
        subject="Rechnung für März · 請求書",
        message=Content(text="Im Anhang. 添付をご覧ください。", html="<p>Im Anhang.</p>"),
        attachments=(invoice,),
    )
    return publisher.publish(email).message_id


def _greylisted(publisher: Publisher, _url: str) -> str:
    return publisher.send(
        to=f"{LATER}@example.org", from_=APP, subject="Your weekly report", text="All is well."
    ).message_id


def _refused(publisher: Publisher, _url: str) -> str:
    return publisher.send(
        to=f"{NOBODY}@example.org", from_=APP, subject="Are you there?", text="Hello?"
    ).message_id


def breach(_publisher: Publisher, url: str) -> str:
    """Publish past the library, as an app in another language could."""
    message_id = str(uuid.uuid4())
    body = {
        "email_to": "ada@example.org\r\nBcc: everyone@example.org",
        "email_from": APP,
        "message": {"text": "No subject, and a header smuggled in."},
    }
    properties = pika.BasicProperties(
        message_id=message_id,
        type=TYPE,
        content_type=CONTENT_TYPE,
        delivery_mode=pika.DeliveryMode.Persistent.value,
        headers={PUBLISHED_AT_MS: int(time.time() * 1000)},
    )
    with connected(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish(
            EXCHANGE, Lane.TRANSACTIONAL, json.dumps(body), properties, mandatory=True
        )
    return message_id


CASES: Final = (
    Case("verify-email, text and HTML", _verify_email),
    Case("reset-password", _reset_password),
    Case("invoice to Zoë Ångström, cc 山田 花子, attachment", _invoice),
    Case("report, deferred once by the relay (451)", _greylisted, attempts=2),
    Case("to a mailbox that is not there (550)", _refused, DEAD),
    Case("breaks the contract, published raw", breach, DEAD),
)
