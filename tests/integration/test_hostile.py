"""What is no email: one dead letter with a precise reason, and the worker goes on."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from publisher_lib.routing import Lane
from tests.support.broker import Broker, Message, VirtualHost
from tests.support.consumer_process import ConsumerProcess, consuming, wait_until
from tests.support.malformed import SHAPES, UNWRITABLE, publish_malformed
from tests.support.smtp_sink import SmtpSink, smtp_sink

GOOD: dict[str, Any] = {
    "email_to": "ada@example.org",
    "email_from": "app@example.org",
    "subject": "Hello",
    "message": {"text": "Hello"},
}
INJECTION = "x\r\nBcc: victim@example.org"
ATTACHMENT = {"filename": "a.txt", "content_type": "text/plain", "content": "QQ=="}
MEBIBYTE = 1024 * 1024


class Running:
    """A consumer with its virtual host and a relay that takes everything."""

    def __init__(self, vhost: VirtualHost, sink: SmtpSink, process: ConsumerProcess) -> None:
        self.vhost = vhost
        self.sink = sink
        self.process = process

    def dead_letter(self, body: bytes, **properties: Any) -> Message:
        """Publish a message and return the one dead letter it becomes; the worker must go on."""
        self.vhost.publish_raw(body, **properties)
        (dead,) = self.vhost.dead_letters(1)
        self.assert_goes_on()
        return dead

    def assert_goes_on(self) -> None:
        """Have a good message delivered by the same process over the same connection."""
        good = str(uuid.uuid4())
        self.vhost.publish_raw(json.dumps(GOOD).encode(), message_id=good)
        wait_until(lambda: good in self.sink.message_ids(), what="the good message")
        assert self.process.is_alive
        assert self.process.events("broker connection lost") == []


@pytest.fixture(scope="module")
def running(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    vhost = VirtualHost(broker, f"t{uuid.uuid4().hex[:12]}")
    vhost.create()
    with (
        smtp_sink(tmp_path_factory.mktemp("sink")) as sink,
        consuming(vhost.url, sink.url) as process,
    ):
        yield Running(vhost, sink, process)
    vhost.delete()


def body(**changes: Any) -> bytes:
    email = {**GOOD, **changes}
    return json.dumps({name: value for name, value in email.items() if value is not ...}).encode()


def pointers(dead: Message) -> set[str]:
    return {violation["pointer"] for violation in dead.detail["violations"]}


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"not json",
        b'{"email_to": ',
        b"\xff\xfe\x00",
        b"\0",
        b"[" * 100_000,
        b'{"a": \xc3\x28}',
    ],
    ids=["empty", "text", "cut", "utf-16", "nul", "depth", "utf-8"],
)
def test_bytes_that_are_no_json_say_where(running: Running, octets: bytes) -> None:
    dead = running.dead_letter(octets)

    assert dead.headers["x-hopmail-reason"] == "invalid_json"
    assert "line 1 column" in dead.detail["violations"][0]["message"]
    assert dead.body == octets


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"email_to": ...}, "/email_to"),
        ({"email_to": 7}, "/email_to"),
        ({"email_to": []}, "/email_to"),
        ({"email_to": ["a@b.c", None]}, "/email_to/1"),
        ({"email_from": ["a@b.c"]}, "/email_from"),
        ({"subject": None}, "/subject"),
        ({"subject": True}, "/subject"),
        ({"message": "text"}, "/message"),
        ({"message": {}}, "/message"),
        ({"message": {"text": 1}}, "/message/text"),
        ({"cc": {}}, "/cc"),
        ({"headers": []}, "/headers"),
        ({"attachments": {}}, "/attachments"),
        ({"attachments": [{**ATTACHMENT, "content": "?"}]}, "/attachments/0/content"),
        ({"send_at": 1795521600}, "/send_at"),
        ({"expires_at": "2026-11-24 12:00"}, "/expires_at"),
        ({"if_uncertain": "maybe"}, "/if_uncertain"),
        ({"email_too": "a@b.c"}, "/email_too"),
    ],
)
def test_a_wrong_field_is_named_by_its_pointer(
    running: Running, changes: dict[str, Any], pointer: str
) -> None:
    dead = running.dead_letter(body(**changes))

    assert dead.headers["x-hopmail-reason"] == "invalid"
    assert pointer in pointers(dead)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"subject": INJECTION}, "/subject"),
        ({"email_from": f"{INJECTION} <a@b.c>"}, "/email_from"),
        ({"email_to": f"a@b.c{INJECTION}"}, "/email_to"),
        ({"email_to": ["a@b.c", f"{INJECTION} <a@b.c>"]}, "/email_to/1"),
        ({"cc": f"{INJECTION} <a@b.c>"}, "/cc"),
        ({"bcc": "a@b.c>\r\nDATA"}, "/bcc"),
        ({"reply_to": f"{INJECTION} <a@b.c>"}, "/reply_to"),
        ({"headers": {"X-A": INJECTION}}, "/headers/X-A"),
        ({"headers": {INJECTION: "v"}}, f"/headers/{INJECTION}"),
        ({"attachments": [{**ATTACHMENT, "filename": INJECTION}]}, "/attachments/0/filename"),
        (
            {"attachments": [{**ATTACHMENT, "content_type": f"text/{INJECTION}"}]},
            "/attachments/0/content_type",
        ),
        (
            {"attachments": [{**ATTACHMENT, "content_id": INJECTION}]},
            "/attachments/0/content_id",
        ),
        ({"headers": {"Bcc": "victim@example.org"}}, "/headers/Bcc"),
        ({"subject": "a\0b"}, "/subject"),
    ],
)
def test_no_field_can_add_a_header_or_a_command(
    running: Running, changes: dict[str, Any], pointer: str
) -> None:
    dead = running.dead_letter(body(**changes))

    assert dead.headers["x-hopmail-reason"] == "invalid"
    assert pointer in pointers(dead)


@pytest.mark.parametrize("mebibytes", [11, 15])
def test_a_body_of_many_mebibytes_is_too_large(running: Running, mebibytes: int) -> None:
    size = mebibytes * MEBIBYTE

    dead = running.dead_letter(body(message={"text": "x" * size}))

    assert dead.headers["x-hopmail-reason"] == "too_large"
    assert "at most" in dead.detail["violations"][0]["message"]
    assert len(dead.body) > size


@pytest.mark.parametrize(
    ("properties", "reason", "pointer"),
    [
        ({"type": "email.v9"}, "unsupported_type", "properties.type"),
        ({"type": None}, "unsupported_type", "properties.type"),
        ({"message_id": None}, "missing_message_id", "properties.message_id"),
        ({"message_id": INJECTION}, "invalid", "properties.message_id"),
        ({"message_id": b"\xff\xfe"}, "invalid", "properties.message_id"),
        ({"message_id": b"\xff" * 255}, "invalid", "properties.message_id"),
        ({"type": b"\xff" * 255}, "unsupported_type", "properties.type"),
        ({"content_type": b"\xff" * 255}, "unsupported_content", "properties.content_type"),
        ({"content_type": "text/xml"}, "unsupported_content", "properties.content_type"),
        ({"content_encoding": "gzip"}, "unsupported_content", "properties.content_encoding"),
    ],
)
def test_a_wrong_property_is_named(
    running: Running, properties: dict[str, Any], reason: str, pointer: str
) -> None:
    dead = running.dead_letter(body(), **properties)

    assert dead.headers["x-hopmail-reason"] == reason
    assert pointers(dead) == {pointer}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_header_table_that_pika_cannot_decode_is_a_dead_letter(
    running: Running, shape: str
) -> None:
    publish_malformed(running.vhost, shape, body=body(), message_id="odd")

    (dead,) = running.vhost.dead_letters(1)
    running.assert_goes_on()
    assert dead.headers["x-hopmail-reason"] == "undecodable_properties"
    assert dead.properties.message_id == "odd"
    assert dead.body == body()


@pytest.mark.parametrize("shape", UNWRITABLE)
def test_a_header_that_amqp_cannot_write_back_is_left_out(running: Running, shape: str) -> None:
    publish_malformed(running.vhost, shape, body=body(subject=7), message_id="odd")

    (dead,) = running.vhost.dead_letters(1)
    running.assert_goes_on()
    assert dead.headers["x-hopmail-reason"] == "invalid"
    assert "traceparent" not in dead.headers


def test_a_dead_letter_says_all_there_is_to_know(running: Running) -> None:
    vhost = running.vhost
    dead = running.dead_letter(
        body(subject=7),
        lane=Lane.BULK,
        url=vhost.app_url,
        user_id=f"webapp-{vhost.name}",
        message_id="order-1",
        timestamp=1_795_521_600,
        app_id="shop",
        headers={"x-published-at-ms": 1_764_000_000_123, "traceparent": "00-ab-cd-01", "x-own": 1},
    )

    assert dead.body == body(subject=7)
    assert (dead.properties.message_id, dead.properties.app_id) == ("order-1", "shop")
    assert dead.properties.type == "email.v1"
    assert dead.properties.delivery_mode == 2
    headers = dead.headers
    assert headers["x-hopmail-lane"] == "bulk"
    assert headers["x-hopmail-attempt"] == 1
    assert headers["x-hopmail-login"] == f"webapp-{vhost.name}"
    assert headers["x-hopmail-first-published-ms"] == 1_764_000_000_123
    assert headers["x-hopmail-last-attempt-ms"] > headers["x-hopmail-first-published-ms"]
    assert headers["traceparent"] == "00-ab-cd-01"
    assert "x-own" not in headers


FORGED = {
    "x-hopmail-attempt": 7,
    "x-hopmail-pending": ["victim@example.org"],
    "x-hopmail-login": "admin",
    "x-hopmail-first-published-ms": 1,
}


def test_an_app_cannot_forge_the_consumers_headers(running: Running) -> None:
    vhost = running.vhost
    app = f"webapp-{vhost.name}"
    dead = running.dead_letter(body(), url=vhost.app_url, user_id=app, headers=FORGED)

    assert dead.headers["x-hopmail-reason"] == "untrusted_headers"
    assert app in dead.detail["violations"][0]["message"]
    assert dead.properties.user_id is None, "nobody vouches for what it claims"
    assert dead.headers["x-hopmail-login"] == "admin"
    assert dead.properties.message_id not in running.sink.message_ids()
