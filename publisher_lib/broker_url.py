"""Which brokers a URL names, and why one could not be reached, in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import pika
from pika import exceptions
from pika.adapters.utils.connection_workflow import (
    AMQPConnectorException,
    AMQPConnectorStackTimeout,
)

HEARTBEAT_SECONDS: Final = 10
"""After 15 to 30 seconds of silence pika gives a broker up: at most twice this, and ten."""

SOCKET_TIMEOUT_SECONDS: Final = 5
STACK_TIMEOUT_SECONDS: Final = 5
"""Until TCP, TLS and the login stand: one broker of a list that hangs leaves time for the next."""

CONNECT_ERRORS: Final = (exceptions.AMQPError, AMQPConnectorException, OSError)
"""What pika raises where no connection can be made."""

ACCEPTED: Final = (
    "a broker URL is amqp://login:password@host:5672/vhost, or amqps:// for TLS with the "
    "certificate verified; several are separated by commas; special characters in a part are "
    "percent-encoded"
)
UNVERIFIED: Final = (
    "the broker URL's ssl_options switch the certificate's verification off: name no protocol there"
)


@dataclass(frozen=True, slots=True)
class BrokerURL:
    """One broker: `settings` are pika's connection parameters. Its text has no password."""

    scheme: str
    login: str
    address: str
    vhost: str
    settings: Any

    def __str__(self) -> str:
        return f"{self.scheme}://{self.login}@{self.address}/{self.vhost.removeprefix('/')}"


def read_urls(urls: str | Sequence[str], name: str) -> tuple[BrokerURL, ...]:
    """Read one or several URLs; `name` is shown in the broker's list of connections.

    Raises ValueError, without the URL (it holds a password), when one is no broker's.
    """
    listed = urls.split(",") if isinstance(urls, str) else urls
    if not listed or not all(listed):
        raise ValueError(f"the broker's URL is missing; {ACCEPTED}")
    return tuple(_read(url, name) for url in listed)


def _read(url: str, name: str) -> BrokerURL:
    if not isinstance(url, str):
        raise ValueError(ACCEPTED)  # noqa: TRY004 - what is no URL is refused alike
    url = url.strip()
    scheme = url.partition("://")[0]
    if scheme not in {"amqp", "amqps"}:
        raise ValueError(ACCEPTED)
    try:
        settings = pika.URLParameters(url)
        login = str(settings.credentials.username)
    except Exception:  # noqa: BLE001 - pika raises what its parsers raise, quoting parts of the URL
        raise ValueError(ACCEPTED) from None
    tls = settings.ssl_options
    if tls is not None and not (tls.context.verify_mode and tls.context.check_hostname):
        raise ValueError(UNVERIFIED)
    if "heartbeat=" not in urlsplit(url).query:
        settings.heartbeat = HEARTBEAT_SECONDS
    settings.connection_attempts = 1
    settings.socket_timeout = SOCKET_TIMEOUT_SECONDS
    settings.stack_timeout = STACK_TIMEOUT_SECONDS
    settings.client_properties = {"connection_name": name, "product": "Hopmail"}
    address = f"{settings.host}:{settings.port}"
    return BrokerURL(scheme, login, address, settings.virtual_host, settings)


def explain(error: BaseException) -> str:
    """Say in words why a connection or channel failed or ended."""
    cause = _root_cause(error)
    match cause:
        case exceptions.ProbableAuthenticationError() | exceptions.AuthenticationError():
            return "the broker refused the login (wrong user or password)"
        case exceptions.ProbableAccessDeniedError():
            return "the login may not use this virtual host, or there is no such host"
        case AMQPConnectorStackTimeout():
            return "it accepts connections but does not answer"
        case exceptions.ConnectionClosed() | exceptions.ChannelClosed():
            return f"{cause.reply_code} {cause.reply_text}"
        case _:
            return str(cause) or type(cause).__name__


def _root_cause(error: BaseException) -> BaseException:
    """Unwrap pika's nested connection errors down to the one that says something."""
    inner = getattr(error, "exception", None) or next(iter(error.args), None)
    if isinstance(inner, BaseException):
        return _root_cause(inner)
    attempts = getattr(error, "exceptions", None)
    return _root_cause(attempts[-1]) if attempts else error
