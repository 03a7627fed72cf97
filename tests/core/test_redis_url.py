"""The URL of a Redis: its parts, and a sentence for everything that is wrong with one."""

import pytest

from consumer.core.ledger_url import LedgerKind, LedgerURL
from consumer.core.redis_url import RedisURL

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://r.example", {"host": "r.example", "port": 6379, "database": 0, "tls": False}),
        ("redis://r.example/", {"database": 0, "prefix": "hopmail:", "cafile": None}),
        ("redis://[2001:db8::1]:1/15", {"host": "2001:db8::1", "port": 1, "database": 15}),
        ("redis://x", {"user": None, "password": None}),
        ("redis://:s3cr3t@x", {"user": None, "password": SECRET}),
        ("redis://app:s3%2Fc@x", {"user": "app", "password": "s3/c"}),
        ("rediss://x?cafile=/etc/ca.pem", {"tls": True, "cafile": "/etc/ca.pem"}),
        ("redis://x?prefix={mail}:", {"prefix": "{mail}:"}),
    ],
)
def test_a_url_is_read(text: str, expected: dict[str, object]) -> None:
    url = RedisURL.parse(text)

    assert {name: getattr(url, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("http://x", "the scheme must be redis or rediss"),
        ("redis:///0", "names no host"),
        ("redis://app:s3cr3t", "the port must be a number from 1 to 65535"),
        ("redis://x:0", "the port must be a number from 1 to 65535"),
        ("redis://x/s3cr3t", "a database's number only"),
        ("redis://x?db=1", "unknown option 'db'; known are prefix, cafile"),
        ("redis://x?prefix=", "the option prefix has no value"),
        ("redis://x?prefix=a%20b", "prefix must be 1 to 64 letters"),
        ("redis://x?cafile=/ca.pem", "cafile needs TLS"),
        ("redis://a..b:6379/0", "the host must be a name in ASCII"),
        (f"redis://app:s3cr3t@{'x' * 64}", "the host must be a name in ASCII"),
        ("rediss://x?cafile=/ca%00", "must hold no %00"),
    ],
)
def test_a_wrong_url_is_told_what_is_wrong_without_its_password(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem.replace("?", r"\?")) as told:
        RedisURL.parse(text)

    assert SECRET not in str(told.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://app:s3cr3t@r.example/2", "redis://r.example:6379/2"),
        ("rediss://:s3cr3t@[::1]:7000", "rediss://[::1]:7000/0"),
    ],
)
def test_a_ledger_on_redis_is_shown_without_its_login(text: str, shown: str) -> None:
    url = LedgerURL.parse(text)

    assert url.kind is LedgerKind.REDIS
    assert str(url) == shown
    assert repr(url) == f"LedgerURL({shown!r})"
    assert repr(url.redis) == f"RedisURL({shown!r})"
