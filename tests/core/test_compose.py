"""A composed mail reads, to the stdlib's parser, as the email it was made from."""

import base64
import re
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes, policy
from email.header import decode_header
from email.message import EmailMessage
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from consumer.core.compose import compose
from publisher_lib.limits import composed_size_bound
from publisher_lib.message import Email
from tests.support.strategies import emails

DATE = datetime(2026, 11, 24, 12, 34, 56, tzinfo=UTC)
BASE: dict[str, Any] = {
    "email_to": "ada@example.org",
    "email_from": "App <app@example.org>",
    "subject": "Hi",
    "message": {"text": "Hello"},
}


def composed(data: dict[str, Any], message_id: str = "m-1") -> bytes:
    return compose(Email.model_validate(data), message_id, DATE).content


def read(content: bytes) -> EmailMessage:
    return message_from_bytes(content, policy=policy.default)


def field(content: bytes, name: str) -> str:
    """Unfold and decode one field by RFC 2047.

    The stdlib's structured header parser mends what it reads (spaces, quotes), so a display
    name or a subject is compared with what `decode_header` makes of the raw field.
    """
    head = content.split(b"\r\n\r\n", 1)[0].decode()
    found = re.findall(rf"(?im)^{re.escape(name)}: ?([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)", head)
    assert len(found) == 1, name
    unfolded = found[0].replace("\r\n", "")
    parts = decode_header(unfolded)
    return "".join(
        part if isinstance(part, str) else part.decode(charset or "utf-8")
        for part, charset in parts
    )


def expected_text(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def body_texts(message: EmailMessage) -> dict[str, str]:
    found = {}
    for part in message.walk():
        if part.get_content_maintype() == "text" and part.get_filename() is None:
            octets = cast("bytes", part.get_payload(decode=True))
            found[part.get_content_subtype()] = octets.decode().replace("\r\n", "\n")
    return found


@settings(max_examples=300)
@given(emails())
@example({**BASE, "subject": "=?utf-8?q?not=20encoded?="})
@example({**BASE, "subject": "s" * 998})
@example({**BASE, "subject": "é" * 998})
@example({**BASE, "message": {"text": "x" * 2000, "html": "a\rb"}})
@example({**BASE, "message": {"text": "--=_alternative_\n.\n..\nFrom here\n", "html": " \n"}})
@example({**BASE, "headers": {"X-" + "a" * 74: "é" * 900}})
@example({**BASE, "email_to": [f"u{n}@example.org" for n in range(100)]})
def test_any_email_survives_composing_and_parsing(data: dict[str, Any]) -> None:
    email = Email.model_validate(data)

    content = composed(data)
    message = read(content)

    assert field(content, "subject").strip() == email.subject.strip()
    for name, value in (email.headers or {}).items():
        assert field(content, name).strip() == value.strip()
    texts = body_texts(message)
    for kind, text in (("plain", email.message.text), ("html", email.message.html)):
        if text is not None:
            assert texts[kind].removesuffix("\n") == expected_text(text).removesuffix("\n")
    files = [
        (part.get_filename(), part.get_payload(decode=True))
        for part in message.walk()
        if part.get_content_disposition() is not None
    ]
    assert len(files) == len(email.attachments or ())
    assert sorted(base64.b64decode(a.content) for a in email.attachments or ()) == sorted(
        cast("bytes", data) for _name, data in files
    )


@settings(max_examples=300)
@given(emails(), st.from_regex(r"[\x21-\x7e]{1,200}", fullmatch=True))
@example({**BASE, "message": {"text": "x" * 998 + "\n" + "y" * 999}}, "m")
@example({**BASE, "email_from": "n" * 480 + " <a@example.org>"}, "m" * 200)
def test_the_octets_are_safe_to_send(data: dict[str, Any], message_id: str) -> None:
    email = Email.model_validate(data)

    content = composed(data, message_id)

    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", content)
    assert content.endswith(b"\r\n")
    assert max(map(len, content.split(b"\r\n"))) <= 998
    assert len(content) <= composed_size_bound(data)
    if all(address.isascii() for address in (email.sender.address, *email.recipients)) and all(
        mailbox.address.isascii() for mailbox in email.replies_to
    ):
        assert content.isascii()


@given(emails())
def test_no_header_can_be_added_by_what_an_app_sends(data: dict[str, Any]) -> None:
    email = Email.model_validate(data)
    head = composed(data).split(b"\r\n\r\n", 1)[0].decode()

    names = re.findall(r"(?m)^([!-9;-~]+):", head)

    expected = ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"]
    expected += ["Cc"] * bool(email.cc) + ["Reply-To"] * bool(email.reply_to)
    expected += list(email.headers or {})
    transfer = ["Content-Transfer-Encoding"] * ("multipart" not in head)
    assert sorted(expected + transfer) == sorted(names)


@given(emails())
def test_the_same_email_gives_the_same_octets_at_every_attempt(data: dict[str, Any]) -> None:
    assert composed(data) == composed(data)


def test_the_parts_nest_as_readers_expect() -> None:
    image = {
        "filename": "l.png",
        "content_type": "image/png",
        "content": "aGk=",
        "content_id": "logo",
    }
    file = {"filename": "a.pdf", "content_type": "application/pdf", "content": "aGk="}
    data = {
        **BASE,
        "message": {"text": "Hi", "html": '<img src="cid:logo">'},
        "attachments": [file, image],
    }

    message = read(composed(data))

    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "application/pdf",
    ]


def test_an_inline_image_without_html_is_an_attachment() -> None:
    image = {
        "filename": "l.png",
        "content_type": "image/png",
        "content": "aGk=",
        "content_id": "logo",
    }

    message = read(composed({**BASE, "attachments": [image]}))

    dispositions = [part.get_content_disposition() for part in message.walk()]
    assert dispositions == [None, None, "attachment"]


def test_html_alone_with_an_image_is_related() -> None:
    image = {
        "filename": "l.png",
        "content_type": "image/png",
        "content": "aGk=",
        "content_id": "l@a",
    }

    message = read(composed({**BASE, "message": {"html": "<p>"}, "attachments": [image]}))

    assert message.get_content_type() == "multipart/related"
    assert list(message.walk())[-1]["Content-ID"] == "<l@a>"


def test_bcc_is_in_the_envelope_and_nowhere_in_the_content() -> None:
    data = {**BASE, "bcc": ["secret@example.org"], "cc": "carol@example.org"}

    mail = compose(Email.model_validate(data), "m-1", DATE)

    assert mail.envelope.recipients == (
        "ada@example.org",
        "carol@example.org",
        "secret@example.org",
    )
    assert b"secret" not in mail.content


def test_a_recipient_named_twice_is_told_once() -> None:
    mail = compose(Email.model_validate({**BASE, "cc": "ada@example.org"}), "m-1", DATE)

    assert mail.envelope.recipients == ("ada@example.org",)


@pytest.mark.parametrize(
    ("given_name", "written"),
    [
        ("Ada Lovelace", "Ada Lovelace <ada@example.org>"),
        ("Doe, John", '"Doe, John" <ada@example.org>'),
        ('a "b" c', r'"a \"b\" c" <ada@example.org>'),
        ("Zoë", "=?utf-8?q?Zo=C3=AB?= <ada@example.org>"),
        ("=?utf-8?q?x?=", "=?utf-8?b?PT91dGYtOD9xP3g/PQ==?= <ada@example.org>"),
        ("日本語", "=?utf-8?b?5pel5pys6Kqe?= <ada@example.org>"),
    ],
)
def test_a_display_name_is_written_so_that_it_reads_the_same(given_name: str, written: str) -> None:
    content = composed({**BASE, "email_to": f"{given_name} <ada@example.org>"})

    assert f"To: {written}\r\n".encode() in content
    assert given_name == read(content)["To"].addresses[0].display_name


def test_a_mailbox_name_beyond_ascii_stays_raw_for_smtputf8() -> None:
    mail = compose(Email.model_validate({**BASE, "email_to": "zoë@bücher.example"}), "m-1", DATE)

    assert mail.envelope.needs_smtputf8
    assert "To: zoë@xn--bcher-kva.example\r\n".encode() in mail.content


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("plain", "7bit"),
        ("Viele Grüße aus einer Stadt am Rhein", "quoted-printable"),
        ("日本語だけ", "base64"),
        ("x" * 999, "quoted-printable"),
        ("bell \a", "quoted-printable"),
        ("\0" * 10, "base64"),
    ],
)
def test_a_text_takes_the_shortest_encoding_that_keeps_it(text: str, encoding: str) -> None:
    message = read(composed({**BASE, "message": {"text": text}}))

    assert encoding == message["Content-Transfer-Encoding"]


@pytest.mark.parametrize(
    ("message_id", "field_text"),
    [
        ("order-42.confirm", "<order-42.confirm@example.org>"),
        ("a@b", "<7508d8b5018ea640b85269861a101203@example.org>"),
    ],
)
def test_the_message_id_field_stays_the_same_over_retries(message_id: str, field_text: str) -> None:
    assert field_text == read(composed(BASE, message_id))["Message-ID"]


def test_the_date_is_written_in_english_and_utc() -> None:
    moment = DATE.astimezone(timezone(timedelta(hours=5)))

    content = compose(Email.model_validate(BASE), "m-1", moment).content

    assert b"Date: Tue, 24 Nov 2026 12:34:56 +0000\r\n" in content


@pytest.mark.parametrize(
    "filename",
    ["plain.txt", 'quo"te.txt', "Übersicht.pdf", "=?utf-8?q?x?=.txt", "報告" * 60 + ".pdf"],
)
def test_a_file_keeps_its_name(filename: str) -> None:
    file = {"filename": filename, "content_type": "text/plain", "content": "aGk="}

    message = read(composed({**BASE, "attachments": [file]}))

    assert filename == list(message.walk())[-1].get_filename()


def test_a_text_that_holds_the_boundary_gets_a_longer_one() -> None:
    boundary = read(composed({**BASE, "message": {"text": "a", "html": "b"}})).get_boundary()

    message = read(composed({**BASE, "message": {"text": f"--{boundary}--", "html": "b"}}))

    assert f"{boundary}_" == message.get_boundary()
    assert f"--{boundary}--" == body_texts(message)["plain"]
