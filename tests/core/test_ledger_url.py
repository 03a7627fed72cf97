"""The ledger's URL."""

from pathlib import PurePosixPath

import pytest

from consumer.core.ledger_url import LedgerKind, LedgerURL
from consumer.core.redis_url import RedisURL


@pytest.mark.parametrize(
    ("text", "path", "durable"),
    [
        ("sqlite:///var/lib/hopmail/ledger.sqlite3", "/var/lib/hopmail/ledger.sqlite3", False),
        ("sqlite:////var/lib/ledger", "/var/lib/ledger", False),
        ("sqlite:///a%20folder/ledger?durable=yes", "/a folder/ledger", True),
        ("sqlite:///ledger?durable=no", "/ledger", False),
    ],
)
def test_a_file(text: str, path: str, durable: bool) -> None:
    found = LedgerURL.parse(text)

    assert (found.kind, found.path) == (LedgerKind.SQLITE, PurePosixPath(path))
    assert found.durable is durable
    assert str(found) == f"sqlite://{path}"


def test_a_redis_is_shown_without_its_password() -> None:
    found = LedgerURL.parse("rediss://user:secret@cache.example/2")

    assert found.kind is LedgerKind.REDIS
    assert found.redis == RedisURL.parse("rediss://user:secret@cache.example/2")
    assert str(found) == "rediss://cache.example:6379/2"
    assert "secret" not in repr(found)


def test_none() -> None:
    assert str(LedgerURL.parse("none")) == "none"


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("", "must be printable"),
        ("sqlite://ledger", "whole path"),
        ("sqlite:///", "whole path"),
        ("sqlite://", "whole path"),
        ("mysql://host/db", "scheme must be"),
        ("redis:///0", "names no host"),
        ("sqlite:///ledger?durable=perhaps", "yes or no"),
        ("sqlite:///ledger?mode=ro", "durable=yes"),
        ("/var/lib/ledger", "scheme must be"),
        ("sqlite:ledger", "whole path"),
        ("sqlite:///ledger#1", "whole path"),
        ("sqlite:///ledger%00.sqlite3", "must hold no %00"),
        ("redis://a..b", "the host must be a name in ASCII"),
    ],
)
def test_a_wrong_one_says_what_is_accepted(text: str, cure: str) -> None:
    with pytest.raises(ValueError, match=cure):
        LedgerURL.parse(text)
