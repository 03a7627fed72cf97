"""Where the relay is and how to talk to it, as one URL."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, unquote

from consumer.core.relay_options import (
    LONGEST_TIMEOUT_SECONDS,
    MOST_MESSAGES,
    MOST_SESSIONS,
    TLS,
    helo_name,
    messages_per_second,
    number_up_to,
    option,
    read_options,
    seconds,
    starttls_mode,
    yes_or_no,
)
from consumer.core.url import HOSTS, is_host, split_url

SUBMISSION_PORT: Final = 587
"""Message submission (RFC 6409 §3.1)."""

SUBMISSIONS_PORT: Final = 465
"""Message submission over implicit TLS (RFC 8314 §3.3)."""

DATA_TIMEOUT_FACTOR: Final = 5
"""How much longer content may take than a command; RFC 5321 §4.5.3.2 asks for ten times."""

MESSAGES_PER_SESSION: Final = 1000
"""Some relays count; a session given up in time costs one QUIT."""

PRINTABLE: Final = re.compile(r"[\x20-\x7e]+")

EXPECTED: Final = (
    "expected smtp://user:password@host:587?tls=required or smtps://user:password@host"
)


@dataclass(frozen=True, slots=True, repr=False)
class RelayURL:
    """One relay: its address, login and TLS mode, how long to wait for it, how much to ask of it.

    `timeout_seconds` bounds the wait for each reply, `data_timeout_seconds` the writing of the
    content and, once more, the wait for the reply to its final dot (RFC 5321 §4.5.3.2).
    `sessions` are those of one process, `rate` is in messages per second of the whole host; both
    None where there is no limit.
    """

    host: str
    port: int
    user: str | None
    password: str | None
    tls: TLS
    verify: bool
    cafile: str | None
    helo: str | None
    insecure_auth: bool
    connect_timeout_seconds: float
    timeout_seconds: float
    data_timeout_seconds: float
    sessions: int | None
    messages_per_session: int
    rate: float | None

    @property
    def place(self) -> str:
        """Host and port: what tells one relay from another."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        scheme = "smtps" if self.tls is TLS.IMPLICIT else "smtp"
        login = f"{self.user}:***@" if self.user is not None else ""
        mode = "" if self.tls is TLS.IMPLICIT else f"?tls={self.tls}"
        return f"{scheme}://{login}{self.place}{mode}"

    def __repr__(self) -> str:
        return f"RelayURL({str(self)!r})"

    @classmethod
    def parse(cls, text: str) -> "RelayURL":
        """Read `smtp://user:password@host:port?option=value&…` or `smtps://…`.

        Raises ValueError, which names the part, what is accepted and never the password.
        """
        split = _split(text.strip())
        options = read_options(split.query)
        user, password = _login(split)
        tls = _tls(split.scheme, options)
        timeout = option(options, "timeout", seconds, default=60.0)
        url = cls(
            host=_host(split),
            port=_port(split),
            user=user,
            password=password,
            tls=tls,
            verify=_verify(tls, options),
            cafile=option(options, "cafile", str, default=None),
            helo=option(options, "helo", helo_name, default=None),
            insecure_auth=_insecure_auth(user, tls, options),
            connect_timeout_seconds=option(options, "connect_timeout", seconds, default=30.0),
            timeout_seconds=timeout,
            data_timeout_seconds=option(
                options,
                "data_timeout",
                seconds,
                default=min(DATA_TIMEOUT_FACTOR * timeout, LONGEST_TIMEOUT_SECONDS),
            ),
            sessions=option(options, "sessions", number_up_to(MOST_SESSIONS), default=None),
            messages_per_session=option(
                options,
                "messages_per_session",
                number_up_to(MOST_MESSAGES),
                default=MESSAGES_PER_SESSION,
            ),
            rate=option(options, "rate", messages_per_second, default=None),
        )
        if url.cafile is not None and not url.verify:
            raise ValueError("cafile has no effect where no certificate is verified")
        if url.data_timeout_seconds < timeout:
            raise ValueError("data_timeout must not be below timeout")
        return url


def _split(text: str) -> SplitResult:
    split = split_url(text, {"smtp", "smtps"}, EXPECTED)
    if split.path not in {"", "/"} or split.fragment:
        raise ValueError(f"nothing but options may follow the port; {EXPECTED}")
    return split


def _host(split: SplitResult) -> str:
    host = split.hostname or ""
    if not is_host(host):
        raise ValueError(f"the host must be {HOSTS}, given {host!r}; {EXPECTED}")
    return host


def _port(split: SplitResult) -> int:
    default = SUBMISSIONS_PORT if split.scheme == "smtps" else SUBMISSION_PORT
    try:
        port = split.port
    except ValueError:
        port = 0
    if port == 0:
        # What stands in its place may be the password of smtp://user:password, its host forgotten.
        raise ValueError("the port must be a number from 1 to 65535")
    return default if port is None else port


def _login(split: SplitResult) -> tuple[str, str] | tuple[None, None]:
    if split.username is None:
        return None, None
    user, password = unquote(split.username), unquote(split.password or "")
    if not user or not password:
        raise ValueError("user and password go together: smtp://user:password@host")
    if not (PRINTABLE.fullmatch(user) and PRINTABLE.fullmatch(password)):
        raise ValueError("user and password must be printable ASCII, percent-encoded in the URL")
    return user, password


def _tls(scheme: str, options: Mapping[str, str]) -> TLS:
    if scheme == "smtps":
        if "tls" in options:
            raise ValueError("smtps:// is TLS from its first byte; leave the option tls out")
        return TLS.IMPLICIT
    return option(options, "tls", starttls_mode, default=TLS.REQUIRED)


def _insecure_auth(user: str | None, tls: TLS, options: Mapping[str, str]) -> bool:
    insecure_auth = option(options, "insecure_auth", yes_or_no, default=False)
    if user is not None and tls is TLS.NONE and not insecure_auth:
        raise ValueError(
            "tls=none would send the password in the clear; use tls=required, or add"
            " insecure_auth=yes if the network between is trusted"
        )
    return insecure_auth


def _verify(tls: TLS, options: Mapping[str, str]) -> bool:
    verify = option(options, "verify", yes_or_no, default=tls.is_mandatory)
    if verify and not tls.is_mandatory:
        raise ValueError(f"verify=yes has no effect with tls={tls}; use tls=required")
    return verify
