"""Header and command injection: refused by the app's library and, whoever publishes, by us."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import Any, Final

import pytest

from consumer.core.compose import compose
from consumer.core.contract import parse
from consumer.core.outcome import Defect, Undecodable
from publisher_lib import InvalidEmail
from publisher_lib.encode import encode
from publisher_lib.mailbox import parse_mailbox
from publisher_lib.message import Email

PLAIN: Final[dict[str, Any]] = {
    "email_to": "ada@example.org",
    "email_from": "app@example.org",
    "subject": "Hello",
    "message": {"text": "Hello"},
}
ATTACHMENT: Final = {"filename": "a.txt", "content_type": "text/plain", "content": "QQ=="}

BREAKS: Final = (
    *("\r\n", "\n", "\r", "\n ", "\r\n\t", "\r\n\r\n", "\n\n"),
    *("\r\n.\r\n", "\n.\n", "\r.\r", "\0", "\x0b", "\x0c", "\x1b", "\x1c"),
    *("\x7f", "\x85", "\u2028", "\u2029"),
)
"""What ends a line, a header or a string somewhere; the last three are line ends in Unicode."""

FIELDS: Final[dict[str, Callable[[str], dict[str, Any]]]] = {
    "/subject": lambda text: {"subject": text},
    "/email_from": lambda text: {"email_from": f"{text} <app@example.org>"},
    "/email_to": lambda text: {"email_to": f"{text} <ada@example.org>"},
    "/email_to/1": lambda text: {"email_to": ["ada@example.org", f"a@example.org{text}"]},
    "/cc": lambda text: {"cc": f"{text} <ada@example.org>"},
    "/bcc/0": lambda text: {"bcc": [f"<{text}@example.org>"]},
    "/reply_to": lambda text: {"reply_to": f"{text} <ada@example.org>"},
    "/headers/X-A": lambda text: {"headers": {"X-A": text}},
    "/headers/*": lambda text: {"headers": {text: "value"}},
    "/attachments/0/filename": lambda text: {"attachments": [{**ATTACHMENT, "filename": text}]},
    "/attachments/0/content_type": lambda text: {
        "attachments": [{**ATTACHMENT, "content_type": f'text/plain; name="{text}"'}]
    },
    "/attachments/0/content_id": lambda text: {"attachments": [{**ATTACHMENT, "content_id": text}]},
    "/attachments/0/content": lambda text: {"attachments": [{**ATTACHMENT, "content": text}]},
}

ASCII_LABEL: Final = "[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
ASCII_ADDRESS: Final = re.compile(rf"a@{ASCII_LABEL}(\.{ASCII_LABEL})*")

ADDRESSES: Final = (
    *("a@example.org> SIZE=1", "a@example.org SIZE=1", "a@example.org>\r\nRCPT TO:<v@example.org"),
    *("<a@example.org> NOTIFY=NEVER", "<<a@example.org>>", "a>@example.org", "a<b@example.org"),
    *("<@relay.example,@b.example:a@example.org>", "@relay.example:a@example.org"),
    *('"a b"@example.org', '"a>"@example.org', "a b@example.org", "a@exa mple.org", "a\t@b.org"),
    *("a@example.org,v@example.org", "a@example.org;v@example.org", "a@[127.0.0.1]", "a@b@c.org"),
    *("a\u00a0b@example.org", "a\u2003b@example.org", "a@example\uff0eorg\u3002", "a\u202e@b.org"),
    *("postmaster", "", "<>", "a@", "@example.org", "a@example.org\\", "(x)a@example.org"),
    *(f"{'a' * 65}@example.org", f"a@{'b' * 64}.org", f"a@{'b.' * 127}org", "a" * 600 + "@b.org"),
)
"""Each would end the path of MAIL or RCPT, add a parameter, a route or a line, or is too long."""


def refused_pointers(data: dict[str, Any]) -> set[str]:
    """Return where both the publisher and the consumer say that this is no email."""
    with pytest.raises(InvalidEmail) as error:
        encode(data, message_id="m", traceparent=None, login="app", app_id=None)
    outcome = parse(json.dumps(data).encode())
    assert isinstance(outcome, Undecodable)
    assert outcome.defect is Defect.INVALID
    found = {violation.pointer for violation in outcome.violations}
    assert found & {pointer for pointer, _sentence in error.value.violations}
    return found


@pytest.mark.parametrize("pointer", FIELDS)
@pytest.mark.parametrize("line_end", BREAKS, ids=ascii)
def test_no_field_takes_what_could_end_a_line(pointer: str, line_end: str) -> None:
    for text in (f"x{line_end}Bcc: victim@example.org", f"x{line_end}", f"{line_end}x"):
        found = refused_pointers({**PLAIN, **FIELDS[pointer](text)})

        assert pointer.replace("*", text) in found


@pytest.mark.parametrize("field", ["email_to", "email_from", "cc", "bcc", "reply_to"])
@pytest.mark.parametrize("address", ADDRESSES, ids=lambda address: ascii(address)[:40])
def test_no_address_adds_to_its_command(field: str, address: str) -> None:
    assert f"/{field}" in refused_pointers({**PLAIN, field: address})


def test_no_character_of_a_domain_becomes_more_than_a_domain_in_ascii() -> None:
    """UTS 46 maps look-alikes to ASCII: a full-width > must not end the path after all."""
    beyond_ascii = map(chr, (*range(0xA1, 0xD800), *range(0xF900, 0xFFF0)))

    for character in beyond_ascii:
        for domain in (f"a{character}b.org", f"a.{character}"):
            with suppress(ValueError):
                address = parse_mailbox(f"a@{domain}").address
                assert ASCII_ADDRESS.fullmatch(address), ascii(domain)


@pytest.mark.parametrize(
    "name",
    [
        *("bcc", "BCC", "From", "Sender", "Subject", "MIME-Version", "Content-Type", "Received"),
        *("Content-Transfer-Encoding", "Resent-Bcc", "Return-Path", "DKIM-Signature", "Date"),
        *("X:Y", "X Y", "X\tY", " Bcc", "Bcc ", "Bcc:", "", "é", "\u0131d", "x" * 77, "\uff22cc"),
    ],
)
def test_no_header_name_forges_or_breaks_what_we_write(name: str) -> None:
    assert f"/headers/{name}" in refused_pointers({**PLAIN, "headers": {name: "x"}})


@pytest.mark.parametrize(
    "trick",
    [
        *("=?utf-8?q?x=0D=0ABcc:_victim@example.org?=", "=?utf-8?b?DQpCY2M6IHZAZXhhbXBsZS5vcmc=?="),
        *("=?utf-8?q?a?= =?utf-8?q?=0A=0Ab?=", "=?utf-8?q?=00?=", '=?x?q?"?= <v@example.org>'),
        *("=?utf-7?q?+AA0ACg-Bcc:?=", "=?", "=?utf-8?q?unended", "a" * 70 + " =?utf-8?q?=0A?="),
    ],
)
def test_an_encoded_word_stays_the_text_that_it_is(trick: str) -> None:
    name = re.sub(r"[<>]", "", trick)
    data = {
        **PLAIN,
        "subject": trick,
        "email_from": f"{name} <app@example.org>",
        "headers": {"X-A": trick},
        "attachments": [{**ATTACHMENT, "filename": re.sub(r"[/\\]", "", trick)}],
    }

    mail = compose(Email.model_validate(data), "m-1", datetime(2026, 11, 24, tzinfo=UTC))
    read = message_from_bytes(mail.content, policy=policy.default)

    assert sorted(read.keys()) == [
        *("Content-Type", "Date", "From", "MIME-Version", "Message-ID", "Subject", "To", "X-A"),
    ]
    assert read["Subject"] == read["X-A"] == trick
    (sender,) = read["From"].addresses
    assert sender.addr_spec == "app@example.org"
    # The stdlib puts a space between two encoded words of a long name.
    assert sender.display_name.replace(" ", "") == name.replace(" ", "")
    assert mail.envelope.recipients == ("ada@example.org",)


@pytest.mark.parametrize("message_id", ["a\r\nBcc: v@b.c", "a b", "a\0", "a\u2028", "é", "x" * 201])
def test_no_message_id_breaks_its_field(message_id: str) -> None:
    with pytest.raises(InvalidEmail):
        encode(PLAIN, message_id=message_id, traceparent=None, login="app", app_id=None)


@pytest.mark.parametrize("message_id", ["<a@b>", "a>,<b", "@", "a@b@c", '"', "(x)", "a..b", "."])
def test_an_odd_message_id_still_makes_one_identifier(message_id: str) -> None:
    mail = compose(Email.model_validate(PLAIN), message_id, datetime(2026, 11, 24, tzinfo=UTC))

    assert re.search(rb"\r\nMessage-ID: <[0-9a-f]{32}@example\.org>\r\n", mail.content)


def test_two_spellings_of_a_domain_are_one_address() -> None:
    addresses = {
        parse_mailbox(f"Ada@{domain}").address for domain in ("EXAMPLE.org", "example.Org")
    }

    assert addresses == {"Ada@example.org"}
