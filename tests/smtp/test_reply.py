"""A relay's words, made safe to keep."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.outcome import Reply
from consumer.smtp.reply import LONGEST_TEXT, printable, reply_of


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (250, b"ok", Reply(250, "", "ok")),
        (250, b"", Reply(250)),
        (250, b"2.0.0", Reply(250, "2.0.0", "")),
        (250, b"2.0.0 queued as 7F", Reply(250, "2.0.0", "queued as 7F")),
        (550, b"5.1.1 no\n5.1.1 such\n5.1.1 user", Reply(550, "5.1.1", "no such user")),
        (550, b"5.1.1 no\nsuch 5.1.1 user", Reply(550, "5.1.1", "no such 5.1.1 user")),
        (550, b"no\n5.1.1 user", Reply(550, "", "no 5.1.1 user")),
        (450, b"5.1.1 another class", Reply(450, "", "5.1.1 another class")),
        (550, b"5.1.1234 too long", Reply(550, "", "5.1.1234 too long")),
        (550, b"5.1.1: no blank", Reply(550, "", "5.1.1: no blank")),
        (550, b"\x1b[31mred\r\x00\x85\xe2\x80\xa8text", Reply(550, "", "[31mred \ufffd text")),
        (550, "für ärger".encode(), Reply(550, "", "für ärger")),
    ],
)
def test_code_enhanced_code_and_text_are_told_apart(
    code: int, text: bytes, expected: Reply
) -> None:
    assert reply_of(code, text) == expected


@given(st.integers(200, 599), st.binary(max_size=3000))
def test_any_octets_become_one_short_printable_line(code: int, text: bytes) -> None:
    reply = reply_of(code, text)

    assert reply.code == code
    assert len(reply.text) <= LONGEST_TEXT
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in reply.text)
    assert len(reply.text.splitlines()) <= 1


CREDENTIALS = base64.b64encode(b"\0app\0s3cr%t").decode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"bad sequence: AUTH PLAIN {CREDENTIALS}", "bad sequence: AUTH PLAIN ***"),
        (f'"auth plain {CREDENTIALS}" is unknown', '"auth plain ***" is unknown'),
        (f"AUTH\nPLAIN:<{CREDENTIALS}> no", "AUTH PLAIN:<***> no"),
        (f"AUTH LOGIN YXBw {CREDENTIALS} no", "AUTH LOGIN *** *** no"),
        (f"AUTH CRAM-MD5 {CREDENTIALS}", "AUTH CRAM-MD5 ***"),
        (f"AUTH PLAIN {CREDENTIALS[:9]}\n{CREDENTIALS[9:]}", "AUTH PLAIN *** ***"),
        (f"{'x' * LONGEST_TEXT} AUTH PLAIN {CREDENTIALS}", "x" * LONGEST_TEXT),
        (f"{'x' * 280} AUTH PLAIN {CREDENTIALS}", f"{'x' * 280} AUTH PLAIN ***"),
        ("AUTH PLAIN.", "AUTH PLAIN."),
        ("authentication required", "authentication required"),
        ("the AUTH command comes first", "the AUTH command comes first"),
    ],
)
def test_credentials_that_a_relay_quotes_are_masked_before_the_cut(
    text: str, expected: str
) -> None:
    assert printable(text) == expected
    assert printable(expected) == expected, "a text may pass here twice"


def test_a_long_text_is_cut() -> None:
    assert printable("x" * 10_000) == "x" * LONGEST_TEXT
