"""Which brokers a URL names, and why one could not be reached, in words."""

import copy
import ssl
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

from publisher_lib.broker_tls import BrokerTLS, read_tls, without_tls

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


UNKNOWN_ISSUER: Final = frozenset({18, 19, 20, 21})
"""X509_V_ERR_… of OpenSSL where nobody we trust has signed (x509_vfy.h)."""

CERTIFICATE_ALERTS: Final = (
    "ALERT_CERTIFICATE_REQUIRED",
    "ALERT_HANDSHAKE_FAILURE",
    "ALERT_UNKNOWN_CA",
    "ALERT_BAD_CERTIFICATE",
    "ALERT_UNSUPPORTED_CERTIFICATE",
    "ALERT_CERTIFICATE_EXPIRED",
    "ALERT_CERTIFICATE_REVOKED",
    "ALERT_CERTIFICATE_UNKNOWN",
    "ALERT_ACCESS_DENIED",
)
"""What a server says of its client's certificate, or the lack of one (RFC 8446 §6.2)."""

CUT_OFF: Final = ("SSLEOFError", "ConnectionResetError", "BrokenPipeError")
"""What is left of an alert of TLS 1.3 where the server closed before it was read: it comes after
our side of the handshake is done (seen with 1 of 10 connections to RabbitMQ 3.10)."""

CUT_OFF_WORDS: Final = (
    "it ended the connection within TLS; if it wants a client certificate, certfile= and keyfile="
    " in its URL name one it trusts"
)


@dataclass(frozen=True, slots=True)
class BrokerURL:
    """One broker: `settings` are pika's, but for `tls`. Its text has no password."""

    scheme: str
    login: str
    address: str
    vhost: str
    settings: Any
    tls: BrokerTLS | None = None

    def parameters(self) -> Any:
        """Return pika's connection parameters, for one connection.

        Raises OSError where a certificate's file cannot be used.
        """
        if self.tls is None:
            return self.settings
        settings = copy.copy(self.settings)
        settings.ssl_options = pika.SSLOptions(self.tls.context(), self.tls.server_name or None)
        return settings

    def explain(self, error: BaseException) -> str:
        """Say in words why no connection came to be."""
        words = explain(error)
        if self.scheme == "amqps" and any(cut in words for cut in CUT_OFF):
            return f"{CUT_OFF_WORDS} ({words})"
        return words

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
        split = urlsplit(url)
    except ValueError:
        raise ValueError(ACCEPTED) from None
    tls = _tls(scheme, split.query)
    try:
        settings = pika.URLParameters(without_tls(split) if tls else url)
        login = str(settings.credentials.username)
    except Exception:  # noqa: BLE001 - pika raises what its parsers raise, quoting parts of the URL
        raise ValueError(ACCEPTED) from None
    options = settings.ssl_options
    if options is not None and not (options.context.verify_mode and options.context.check_hostname):
        raise ValueError(UNVERIFIED)
    if "heartbeat=" not in split.query:
        settings.heartbeat = HEARTBEAT_SECONDS
    settings.connection_attempts = 1
    settings.socket_timeout = SOCKET_TIMEOUT_SECONDS
    settings.stack_timeout = STACK_TIMEOUT_SECONDS
    settings.client_properties = {"connection_name": name, "product": "Hopmail"}
    address = f"{settings.host}:{settings.port}"
    return BrokerURL(scheme, login, address, settings.virtual_host, settings, tls)


def _tls(scheme: str, query: str) -> BrokerTLS | None:
    try:
        tls = read_tls(scheme, query)
    except ValueError as error:
        raise ValueError(f"the broker's URL: {error}") from None
    if tls is not None and "ssl_options=" in query:
        raise ValueError(
            "the broker's URL: ssl_options and other options of TLS exclude one another"
        )
    return tls


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
        case ssl.SSLCertVerificationError():
            return _refused_certificate(cause)
        case _ if any(alert in str(cause) for alert in CERTIFICATE_ALERTS):
            return (
                "the broker refused our certificate, or that we have none: certfile= and keyfile="
                f" in its URL name one it trusts ({_alert(str(cause))})"
            )
        case exceptions.ConnectionClosed() | exceptions.ChannelClosed():
            return f"{cause.reply_code} {cause.reply_text}"
        case _:
            return str(cause) or type(cause).__name__


def _refused_certificate(refusal: ssl.SSLCertVerificationError) -> str:
    cure = "; cacertfile= in its URL names the authority to trust"
    return (
        f"the broker's certificate is refused: {refusal.verify_message}"
        f"{cure if refusal.verify_code in UNKNOWN_ISSUER else ''}"
    )


def _alert(words: str) -> str:
    """Return OpenSSL's name of an alert, as a person reads it."""
    name = next(alert for alert in CERTIFICATE_ALERTS if alert in words)
    return name.removeprefix("ALERT_").replace("_", " ").lower()


def _root_cause(error: BaseException) -> BaseException:
    """Unwrap pika's nested connection errors down to the one that says something."""
    inner = getattr(error, "exception", None) or next(iter(error.args), None)
    if isinstance(inner, BaseException):
        return _root_cause(inner)
    attempts = getattr(error, "exceptions", None)
    return _root_cause(attempts[-1]) if attempts else error
