"""Where a Redis is, as one URL."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote

from consumer.core.url import HOSTS, is_host, split_url

EXPECTED: Final = "expected redis://user:password@host:6379/0 or rediss://…"

STANDARD_PORT: Final = 6379
HIGHEST_PORT: Final = 65535
DATABASE: Final = re.compile(r"/?|/([0-9]{1,5})")
PREFIX: Final = re.compile(r"[A-Za-z0-9_.:{}-]{1,64}")
STANDARD_PREFIX: Final = "hopmail:"
OPTIONS: Final = ("prefix", "cafile")


@dataclass(frozen=True, slots=True, repr=False)
class RedisURL:
    """One Redis and a part of its keys: those of `database` whose names begin with `prefix`."""

    host: str
    port: int
    database: int
    user: str | None
    password: str | None
    tls: bool
    cafile: str | None
    prefix: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"redis{'s' if self.tls else ''}://{host}:{self.port}/{self.database}"

    def __repr__(self) -> str:
        return f"RedisURL({str(self)!r})"

    @classmethod
    def parse(cls, text: str) -> "RedisURL":
        """Read `redis://user:password@host:port/database?option=value`, or `rediss://…` for TLS.

        Raises ValueError, which never quotes a password.
        """
        split = split_url(text, {"redis", "rediss"}, EXPECTED)
        if not split.hostname:
            raise ValueError(f"names no host; {EXPECTED}")
        if not is_host(split.hostname):
            raise ValueError(f"the host must be {HOSTS}; {EXPECTED}")
        tls = split.scheme == "rediss"
        options = _options(split.query)
        if "cafile" in options and not tls:
            raise ValueError("cafile needs TLS: rediss://")
        return cls(
            host=split.hostname,
            port=_port(split),
            database=_database(split.path),
            user=unquote(split.username) if split.username else None,
            password=unquote(split.password) if split.password else None,
            tls=tls,
            cafile=options.get("cafile"),
            prefix=_prefix(options.get("prefix", STANDARD_PREFIX)),
        )


def _port(split: SplitResult) -> int:
    try:
        port = split.port
    except ValueError:
        port = 0
    if port == 0:
        # What stands in its place may be the password of redis://user:password, its host forgotten.
        raise ValueError(f"the port must be a number from 1 to {HIGHEST_PORT}")
    return STANDARD_PORT if port is None else port


def _database(path: str) -> int:
    found = DATABASE.fullmatch(path)
    if found is None:
        raise ValueError("after the host comes a database's number only: /0")
    return int(found[1] or 0)


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in OPTIONS:
            raise ValueError(f"unknown option {name!r}; known are {', '.join(OPTIONS)}")
        if not value:
            raise ValueError(f"the option {name} has no value")
        options[name] = value
    return options


def _prefix(text: str) -> str:
    if not PREFIX.fullmatch(text):
        raise ValueError("prefix must be 1 to 64 letters, digits and _ . : { } -")
    return text
