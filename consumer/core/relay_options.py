"""The options of a relay's URL, as text and as values. Every ValueError says what is accepted."""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final, TypeVar
from urllib.parse import unquote

T = TypeVar("T")

LONGEST_TIMEOUT_SECONDS: Final = 600.0
"""What RFC 5321 §4.5.3.2.6 asks for the final dot; more, and RabbitMQ's consumer timeout of 30
minutes could end before a transaction does."""

MOST_SESSIONS: Final = 100
MOST_MESSAGES: Final = 1_000_000

HIGHEST_RATE: Final = 10_000.0
LOWEST_RATE: Final = 0.01
"""Messages per second. At a slower pace than one in 100 s a mail would mostly wait for its turn."""

HELO: Final = re.compile(r"[A-Za-z0-9_.-]{1,253}|\[[A-Za-z0-9:.]{1,60}\]")
NUMBER: Final = re.compile(r"[0-9]{1,7}")
DECIMAL: Final = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,3})?")
SECONDS: Final = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)s?")

OPTIONS: Final = (
    "tls",
    "verify",
    "cafile",
    "timeout",
    "data_timeout",
    "connect_timeout",
    "helo",
    "insecure_auth",
    "sessions",
    "messages_per_session",
    "rate",
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


def read_options(query: str) -> dict[str, str]:
    """Return the options by name."""
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


def option(options: Mapping[str, str], name: str, read: Callable[[str], T], *, default: T) -> T:
    """Return what `read` makes of an option."""
    if name not in options:
        return default
    try:
        return read(options[name])
    except ValueError as error:
        raise ValueError(f"the option {name} must be {error}, given {options[name]!r}") from None


def starttls_mode(text: str) -> TLS:
    """Read when a session that begins in the clear is encrypted."""
    if text not in {TLS.REQUIRED, TLS.OPPORTUNISTIC, TLS.NONE}:
        raise ValueError("required, opportunistic or none")
    return TLS(text)


def yes_or_no(text: str) -> bool:
    """Read a switch."""
    if text not in {"yes", "no"}:
        raise ValueError("yes or no")
    return text == "yes"


def seconds(text: str) -> float:
    """Read a timeout."""
    found = SECONDS.fullmatch(text)
    if found is None or not 0 < float(found[1]) <= LONGEST_TIMEOUT_SECONDS:
        raise ValueError(f"seconds, above 0 and at most {LONGEST_TIMEOUT_SECONDS:.0f}")
    return float(found[1])


def helo_name(text: str) -> str:
    """Read what we call ourselves in EHLO."""
    if not HELO.fullmatch(text):
        raise ValueError("a host name or an address literal such as [192.0.2.1]")
    return text


def number_up_to(most: int) -> Callable[[str], int]:
    """Return the reader of whole numbers from 1 to `most`."""

    def read(text: str) -> int:
        if not NUMBER.fullmatch(text) or not 1 <= int(text) <= most:
            raise ValueError(f"a whole number from 1 to {most}")
        return int(text)

    return read


def messages_per_second(text: str) -> float:
    """Read a rate."""
    if not DECIMAL.fullmatch(text) or not LOWEST_RATE <= float(text) <= HIGHEST_RATE:
        bounds = f"{LOWEST_RATE} to {HIGHEST_RATE:.0f}"
        raise ValueError(f"messages per second, from {bounds}")
    return float(text)
