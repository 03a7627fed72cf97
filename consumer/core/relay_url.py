"""Where the relay is and how to talk to it, as one URL."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar
from urllib.parse import SplitResult, unquote

from consumer.core.url import split_url

T = TypeVar("T")

SUBMISSION_PORT: Final = 587
"""Message submission (RFC 6409 §3.1)."""

SUBMISSIONS_PORT: Final = 465
"""Message submission over implicit TLS (RFC 8314 §3.3)."""

LONGEST_TIMEOUT_SECONDS: Final = 600.0
"""What RFC 5321 §4.5.3.2.6 asks for the final dot; more, and RabbitMQ's consumer timeout of 30
minutes could end before a transaction does."""

DATA_TIMEOUT_FACTOR: Final = 5
"""How much longer content may take than a command; RFC 5321 §4.5.3.2 asks for ten times."""

HOST: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
HELO: Final = re.compile(r"[A-Za-z0-9_.-]{1,253}|\[[A-Za-z0-9:.]{1,60}\]")
SECONDS: Final = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)s?")
PRINTABLE: Final = re.compile(r"[\x20-\x7e]+")

EXPECTED: Final = (
    "expected smtp://user:password@host:587?tls=required or smtps://user:password@host"
)


class TLS(StrEnum):
    """When the session is encrypted. Only `opportunistic` and `none` may send mail in the clear."""

    IMPLICIT = "implicit"
    REQUIRED = "required"
    OPPORTUNISTIC = "opportunistic"
    NONE = "none"

    @property
    def is_mandatory(self) -> bool:
        """Whether nothing of a mail or a password may leave unencrypted."""
        return self in {TLS.IMPLICIT, TLS.REQUIRED}


@dataclass(frozen=True, slots=True, repr=False)
class RelayURL:
    """One relay: its address, the login, the TLS mode and how long to wait for it.

    `timeout_seconds` bounds the wait for each reply, `data_timeout_seconds` the writing of the
    content and, once more, the wait for the reply to its final dot (RFC 5321 §4.5.3.2).
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

    def __str__(self) -> str:
        scheme = "smtps" if self.tls is TLS.IMPLICIT else "smtp"
        login = f"{self.user}:***@" if self.user is not None else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        mode = "" if self.tls is TLS.IMPLICIT else f"?tls={self.tls}"
        return f"{scheme}://{login}{host}:{self.port}{mode}"

    def __repr__(self) -> str:
        return f"RelayURL({str(self)!r})"

    @classmethod
    def parse(cls, text: str) -> "RelayURL":
        """Read `smtp://user:password@host:port?option=value&…` or `smtps://…`.

        Raises ValueError, which names the part, what is accepted and never the password.
        """
        split = _split(text.strip())
        options = _options(split.query)
        user, password = _login(split)
        tls = _tls(split.scheme, options)
        insecure_auth = _option(options, "insecure_auth", _yes_or_no, default=False)
        if user is not None and tls is TLS.NONE and not insecure_auth:
            raise ValueError(
                "tls=none would send the password in the clear; use tls=required, or add"
                " insecure_auth=yes if the network between is trusted"
            )
        timeout = _option(options, "timeout", _seconds, default=60.0)
        url = cls(
            host=_host(split),
            port=_port(split),
            user=user,
            password=password,
            tls=tls,
            verify=_verify(tls, options),
            cafile=_option(options, "cafile", str, default=None),
            helo=_option(options, "helo", _helo, default=None),
            insecure_auth=insecure_auth,
            connect_timeout_seconds=_option(options, "connect_timeout", _seconds, default=30.0),
            timeout_seconds=timeout,
            data_timeout_seconds=_option(
                options,
                "data_timeout",
                _seconds,
                default=min(DATA_TIMEOUT_FACTOR * timeout, LONGEST_TIMEOUT_SECONDS),
            ),
        )
        if url.cafile is not None and not url.verify:
            raise ValueError("cafile has no effect where no certificate is verified")
        if url.data_timeout_seconds < timeout:
            raise ValueError("data_timeout must not be below timeout")
        return url


OPTIONS: Final = (
    "tls",
    "verify",
    "cafile",
    "timeout",
    "data_timeout",
    "connect_timeout",
    "helo",
    "insecure_auth",
)


def _split(text: str) -> SplitResult:
    split = split_url(text, {"smtp", "smtps"}, EXPECTED)
    if split.path not in {"", "/"} or split.fragment:
        raise ValueError(f"nothing but options may follow the port; {EXPECTED}")
    return split


def _host(split: SplitResult) -> str:
    host = split.hostname or ""
    if not HOST.fullmatch(host):
        raise ValueError(
            "the host must be a name in ASCII (xn--… for others) or an IP address,"
            f" given {host!r}; {EXPECTED}"
        )
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


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for item in filter(None, query.split("&")):
        name, _, value = item.partition("=")
        if name not in OPTIONS:
            raise ValueError(f"unknown option {name!r}; known are {', '.join(OPTIONS)}")
        if name in options:
            raise ValueError(f"the option {name} is given twice")
        if not value:
            raise ValueError(f"the option {name} has no value")
        options[name] = unquote(value)
    return options


def _option(options: Mapping[str, str], name: str, read: Callable[[str], T], *, default: T) -> T:
    if name not in options:
        return default
    try:
        return read(options[name])
    except ValueError as error:
        raise ValueError(f"the option {name} must be {error}, given {options[name]!r}") from None


def _tls(scheme: str, options: Mapping[str, str]) -> TLS:
    if scheme == "smtps":
        if "tls" in options:
            raise ValueError("smtps:// is TLS from its first byte; leave the option tls out")
        return TLS.IMPLICIT
    return _option(options, "tls", _starttls_mode, default=TLS.REQUIRED)


def _starttls_mode(text: str) -> TLS:
    if text not in {TLS.REQUIRED, TLS.OPPORTUNISTIC, TLS.NONE}:
        raise ValueError("required, opportunistic or none")
    return TLS(text)


def _verify(tls: TLS, options: Mapping[str, str]) -> bool:
    verify = _option(options, "verify", _yes_or_no, default=tls.is_mandatory)
    if verify and not tls.is_mandatory:
        raise ValueError(f"verify=yes has no effect with tls={tls}; use tls=required")
    return verify


def _yes_or_no(text: str) -> bool:
    if text not in {"yes", "no"}:
        raise ValueError("yes or no")
    return text == "yes"


def _seconds(text: str) -> float:
    found = SECONDS.fullmatch(text)
    if found is None or not 0 < float(found[1]) <= LONGEST_TIMEOUT_SECONDS:
        raise ValueError(f"seconds, above 0 and at most {LONGEST_TIMEOUT_SECONDS:.0f}")
    return float(found[1])


def _helo(text: str) -> str:
    if not HELO.fullmatch(text):
        raise ValueError("a host name or an address literal such as [192.0.2.1]")
    return text
