"""Where the broker is, as URLs. Checked here, so that a wrong one never reaches the client."""

import ast
import re
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from consumer.core.url import HOSTS, is_host, split_url
from publisher_lib.broker_tls import OPTIONS, SERVER_NAME, read_tls
from publisher_lib.broker_url import read_urls

DEFAULT_LOGIN: Final = "guest"
"""RabbitMQ's own, which it lets in from loopback only."""

SEPARATOR: Final = re.compile(r",\s*(?=amqps?://)", re.IGNORECASE)
"""A comma may also stand in a password; only one before a scheme parts two URLs."""

NUMBERS: Final = ("heartbeat", "blocked_connection_timeout", "frame_max")
MAPPINGS: Final = ("ssl_options", "tcp_options")
UNREADABLE: Final = (
    "an entry of ssl_options or tcp_options is unknown, or names a file that cannot be read;"
    " cacertfile=, certfile= and keyfile= name files of TLS"
)
EXPECTED: Final = "expected amqp://user:password@host:5672/virtualhost or amqps://…"


def read_amqp_urls(text: str) -> tuple[str, ...]:
    """Read one or several URLs, comma-separated: the nodes of one cluster.

    Raises ValueError, which names the part and never the password.
    """
    urls = tuple(url.strip() for url in SEPARATOR.split(text.strip()))
    for url in urls:
        _check(url)
    _check_mappings(urls)
    if len({login_of(url) for url in urls}) > 1:
        # What is published says by whom, and the broker refuses any login but the connection's.
        raise ValueError("every URL must name the same user: they are nodes of one cluster")
    return urls


def login_of(url: str) -> str:
    """Return the login that a URL names."""
    return unquote(urlsplit(url).username or DEFAULT_LOGIN)


def _check(url: str) -> None:
    split = split_url(url, {"amqp", "amqps"}, EXPECTED)
    if (split.username is None) != (split.password is None) or split.username == "":
        raise ValueError("user and password go together: amqp://user:password@host")
    _check_place(split)
    _check_options(split.query)
    _check_tls(split)


def _check_mappings(urls: tuple[str, ...]) -> None:
    """Read them as those do who connect: they know the names, and open the files."""
    if any(f"{name}=" in url for url in urls for name in MAPPINGS):
        try:
            read_urls(urls, "")
        except ValueError:
            raise ValueError(UNREADABLE) from None


def _check_place(split: SplitResult) -> None:
    if not split.hostname:
        raise ValueError(f"the host is missing; {EXPECTED}")
    if not is_host(split.hostname):
        raise ValueError(f"the host must be {HOSTS}; {EXPECTED}")
    try:
        port = split.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError("the port must be a number from 1 to 65535")
    if split.path.count("/") > 1 or split.fragment:
        raise ValueError("a / in the name of the virtual host must be written %2F, a # %23")


def _check_options(query: str) -> None:
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in NUMBERS:
            if not (value.isascii() and value.isdecimal()):
                raise ValueError(f"the option {name} must be a whole number")
        elif name in MAPPINGS:
            if not _is_mapping(value):
                raise ValueError(f"the option {name} must be a Python dictionary: {{'name': …}}")
            if "protocol" in ast.literal_eval(value):
                raise ValueError(f"{name} must name no protocol: with one nothing is verified")
        elif name not in OPTIONS:
            known = ", ".join((*OPTIONS, *NUMBERS, *MAPPINGS))
            raise ValueError(f"an option is unknown; known are {known}")


def _check_tls(split: SplitResult) -> None:
    tls = read_tls(split.scheme, split.query)
    if tls is None:
        return
    if tls.server_name and not is_host(tls.server_name):
        raise ValueError(f"the option {SERVER_NAME} must be {HOSTS}")
    if "ssl_options=" in split.query:
        raise ValueError("ssl_options and other options of TLS exclude one another")


def _is_mapping(text: str) -> bool:
    try:
        return isinstance(ast.literal_eval(text), dict)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False
