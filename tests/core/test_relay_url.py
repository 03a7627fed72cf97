"""The relay's URL: every option, and a sentence for everything that is wrong with one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.relay_options import OPTIONS, TLS
from consumer.core.relay_url import RelayURL

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("smtp://relay.example", {"host": "relay.example", "port": 587, "tls": TLS.REQUIRED}),
        ("smtps://relay.example", {"port": 465, "tls": TLS.IMPLICIT, "verify": True}),
        (" smtp://relay.example/ ", {"host": "relay.example"}),
        ("SMTP://Relay.Example:25", {"host": "relay.example", "port": 25}),
        ("smtp://192.0.2.1:2525", {"host": "192.0.2.1", "port": 2525}),
        (f"smtp://{'x' * 63}.mail_1.", {"host": f"{'x' * 63}.mail_1."}),
        ("smtp://[2001:db8::1]:25", {"host": "2001:db8::1", "port": 25}),
        ("smtp://x", {"user": None, "password": None, "insecure_auth": False}),
        ("smtp://app:s3cr3t@x", {"user": "app", "password": SECRET}),
        ("smtp://a%40b:p%2F%3A%3F%23%25@x", {"user": "a@b", "password": "p/:?#%"}),
        ("smtp://x?tls=required", {"tls": TLS.REQUIRED, "verify": True}),
        ("smtp://x?tls=opportunistic", {"tls": TLS.OPPORTUNISTIC, "verify": False}),
        ("smtp://x?tls=none", {"tls": TLS.NONE, "verify": False}),
        ("smtp://u:p@x?tls=none&insecure_auth=yes", {"insecure_auth": True}),
        ("smtp://u:p@x?insecure_auth=no", {"insecure_auth": False}),
        ("smtp://x?verify=no", {"verify": False}),
        ("smtps://x?verify=no", {"verify": False}),
        ("smtp://x?verify=yes", {"verify": True}),
        ("smtp://x?cafile=/etc/my%20ca.pem", {"cafile": "/etc/my ca.pem"}),
        ("smtp://x?helo=mail.example.org", {"helo": "mail.example.org"}),
        ("smtp://x?helo=[192.0.2.1]", {"helo": "[192.0.2.1]"}),
        (
            "smtp://x",
            {
                "timeout_seconds": 60.0,
                "data_timeout_seconds": 300.0,
                "connect_timeout_seconds": 30.0,
                "cafile": None,
                "helo": None,
            },
        ),
        ("smtp://x", {"sessions": None, "messages_per_session": 1000, "rate": None}),
        (
            "smtp://x?sessions=2&messages_per_session=50",
            {"sessions": 2, "messages_per_session": 50},
        ),
        ("smtp://x?rate=14", {"rate": 14.0}),
        ("smtp://x?rate=0.5", {"rate": 0.5}),
        ("smtp://X:2525", {"place": "x:2525"}),
        ("smtps://u:p@[2001:DB8::1]", {"place": "[2001:db8::1]:465"}),
        ("smtp://x?timeout=0.3", {"timeout_seconds": 0.3, "data_timeout_seconds": 1.5}),
        ("smtp://x?timeout=200", {"timeout_seconds": 200.0, "data_timeout_seconds": 600.0}),
        ("smtp://x?timeout=10s&data_timeout=10", {"data_timeout_seconds": 10.0}),
        ("smtp://x?connect_timeout=5s&", {"connect_timeout_seconds": 5.0}),
    ],
)
def test_a_url_is_read(text: str, expected: dict[str, object]) -> None:
    url = RelayURL.parse(text)

    assert {name: getattr(url, name) for name in expected} == expected


BAD: list[tuple[str, str]] = [
    ("", "must be printable ASCII, the rest percent-encoded; expected smtp://"),
    ("smtp://relay.exämple", "must be printable ASCII"),
    ("smtp://x\n?tls=none", "must be printable ASCII"),
    (f"smtp://u:{SECRET}@[::1", "cannot be read as a URL"),
    (f"http://u:{SECRET}@x", "the scheme must be smtp or smtps"),
    ("relay.example:25", "the scheme must be smtp or smtps"),
    (f"smtp://u:a/{SECRET}@x", "must be written %2F, %3F and %23"),
    (f"smtp://u:a#{SECRET}@x", "must be written %2F, %3F and %23"),
    (f"smtp://u:a?{SECRET}@x", "must be written %2F, %3F and %23"),
    ("smtp://x?helo=a@b", "an @ elsewhere %40"),
    ("smtp://x/path", "nothing but options may follow the port"),
    ("smtp://x#fragment", "nothing but options may follow the port"),
    ("smtp://", "the host must be a name in ASCII (xn--… for others), of 1 to 63 characters"),
    ("smtp://[v1.a:b]", "or an IP address"),
    (f"smtp://u:{SECRET}@", "given ''"),
    ("smtp://a%20b", "the host must be a name in ASCII"),
    ("smtp://-x", "the host must be a name in ASCII"),
    ("smtp://a..b", "the host must be a name in ASCII"),
    (f"smtp://{'x' * 64}.example", "the host must be a name in ASCII"),
    (f"smtp://{'x.' * 127}x", "the host must be a name in ASCII"),
    ("smtps://x?cafile=/ca%00", "must hold no %00"),
    ("smtp://x:0", "the port must be a number from 1 to 65535"),
    (f"smtp://u:{SECRET}@x:65536", "the port must be a number from 1 to 65535"),
    (f"smtp://u:{SECRET}@x:smtp", "the port must be a number from 1 to 65535"),
    (f"smtp://x:{SECRET}", "the port must be a number from 1 to 65535"),
    ("smtp://u@x", "user and password go together"),
    (f"smtp://:{SECRET}@x", "user and password go together"),
    ("smtp://u:@x", "user and password go together"),
    (f"smtp://u:{SECRET}%0A@x", "user and password must be printable ASCII"),
    (f"smtp://%C3%A9:{SECRET}@x", "user and password must be printable ASCII"),
    (f"smtp://u:{SECRET}@x?tsl=none", f"unknown option 'tsl'; known are {', '.join(OPTIONS)}"),
    ("smtp://x?tls=none&tls=none", "the option tls is given twice"),
    ("smtp://x?tls=", "the option tls has no value"),
    ("smtp://x?tls", "the option tls has no value"),
    (
        "smtp://x?tls=yes",
        "the option tls must be required, opportunistic or none, given 'yes'",
    ),
    ("smtp://x?tls=implicit", "the option tls must be required, opportunistic or none"),
    ("smtps://x?tls=required", "smtps:// is TLS from its first byte; leave the option tls out"),
    (f"smtp://u:{SECRET}@x?tls=none", "tls=none would send the password in the clear"),
    ("smtp://x?verify=true", "the option verify must be yes or no, given 'true'"),
    ("smtp://x?tls=none&verify=yes", "verify=yes has no effect with tls=none; use tls=required"),
    ("smtp://x?tls=opportunistic&verify=yes", "verify=yes has no effect with tls=opportunistic"),
    ("smtp://x?insecure_auth=1", "the option insecure_auth must be yes or no, given '1'"),
    ("smtp://x?verify=no&cafile=/x", "cafile has no effect where no certificate is verified"),
    ("smtp://x?tls=none&cafile=/x", "cafile has no effect where no certificate is verified"),
    ("smtp://x?timeout=0", "the option timeout must be seconds, above 0 and at most"),
    ("smtp://x?timeout=1m", "the option timeout must be seconds, above 0 and at most"),
    ("smtp://x?timeout=-1", "the option timeout must be seconds, above 0 and at most"),
    ("smtp://x?timeout=nan", "the option timeout must be seconds, above 0 and at most"),
    ("smtp://x?timeout=601", "at most 600, given '601'"),
    ("smtp://x?data_timeout=601", "the option data_timeout must be seconds"),
    ("smtp://x?connect_timeout=soon", "the option connect_timeout must be seconds"),
    ("smtp://x?timeout=10&data_timeout=9", "data_timeout must not be below timeout"),
    ("smtp://x?sessions=0", "the option sessions must be a whole number from 1 to 100, given '0'"),
    ("smtp://x?sessions=101", "the option sessions must be a whole number from 1 to 100"),
    ("smtp://x?sessions=2.5", "the option sessions must be a whole number from 1 to 100"),
    ("smtp://x?messages_per_session=-1", "messages_per_session must be a whole number from 1"),
    ("smtp://x?rate=0", "the option rate must be messages per second, from 0.01 to 10000"),
    ("smtp://x?rate=14/s", "the option rate must be messages per second, from 0.01 to 10000"),
    ("smtp://x?rate=nan", "the option rate must be messages per second, from 0.01 to 10000"),
    ("smtp://x?rate=10001", "the option rate must be messages per second, from 0.01 to 10000"),
    ("smtp://x?helo=a%20b", "the option helo must be a host name or an address literal such as"),
]


@pytest.mark.parametrize(("text", "sentence"), BAD)
def test_what_is_wrong_with_a_url_is_said(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=r"^(?!.*s3cr3t)") as caught:
        RelayURL.parse(text)

    assert sentence in str(caught.value)


def test_the_password_is_never_shown() -> None:
    url = RelayURL.parse(f"smtp://app:{SECRET}@relay.example:25?tls=required")

    assert str(url) == "smtp://app:***@relay.example:25?tls=required"
    assert repr(url) == "RelayURL('smtp://app:***@relay.example:25?tls=required')"
    assert SECRET not in f"{url} {url!r} {[url]}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("smtps://relay.example", "smtps://relay.example:465"),
        ("smtp://[::1]:25?tls=none", "smtp://[::1]:25?tls=none"),
    ],
)
def test_a_url_is_shown_without_what_is_not_needed(text: str, shown: str) -> None:
    assert str(RelayURL.parse(text)) == shown


@given(st.text(alphabet="smtp:/@?#[]%&=.0129ab\u00e9 ", max_size=40))
def test_anything_is_a_url_or_a_value_error(text: str) -> None:
    try:
        url = RelayURL.parse(f"smtp://{text}")
    except ValueError:
        return
    assert 1 <= url.port <= 65535
    assert url.host


@pytest.mark.parametrize("password", ["pass/word@1", "pass?word@1", "pass#word@1", "[pass", "p:@:"])
def test_an_unescaped_password_is_not_quoted(password: str) -> None:
    try:
        shown = repr(RelayURL.parse(f"smtp://u:{password}@relay.example?tls=maybe"))
    except ValueError as error:
        shown = str(error)

    assert password not in shown
