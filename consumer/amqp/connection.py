"""How the daemon reaches the broker: parameters, and errors in words."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any
from urllib.parse import urlsplit

import pika
from pika import exceptions

HEARTBEAT_SECONDS = 20
SOCKET_TIMEOUT_SECONDS = 10
STACK_TIMEOUT_SECONDS = 15


class BrokerUnavailable(Exception):
    """The broker could not be reached or refused the login; the text says which."""


def parameters(urls: tuple[str, ...], name: str) -> tuple[Any, ...]:
    """Return connection parameters for each URL; `name` is shown in the broker's lists."""
    return tuple(_parameters(url, name) for url in urls)


def _parameters(url: str, name: str) -> Any:
    settings = pika.URLParameters(url)
    if "heartbeat=" not in (urlsplit(url).query or ""):
        settings.heartbeat = HEARTBEAT_SECONDS
    settings.connection_attempts = 1
    settings.socket_timeout = SOCKET_TIMEOUT_SECONDS
    settings.stack_timeout = STACK_TIMEOUT_SECONDS
    settings.client_properties = {"connection_name": name, "product": "Hopmail"}
    return settings


def login_of(url: str) -> str:
    """Return the login a broker URL names; RabbitMQ's default is guest."""
    return str(pika.URLParameters(url).credentials.username)


def forever(urls: tuple[str, ...], name: str) -> Iterator[Any]:
    """Yield the parameters of each broker in turn, without end."""
    return cycle(parameters(urls, name))


@contextmanager
def blocking_connection(urls: tuple[str, ...], name: str) -> Iterator[Any]:
    """Open a short-lived connection to the first broker that answers.

    Raises `BrokerUnavailable` naming each address and what was wrong with it.
    """
    failures: list[str] = []
    for settings in parameters(urls, name):
        try:
            connection = pika.BlockingConnection(settings)
        except (exceptions.AMQPError, OSError) as error:
            failures.append(f"{settings.host}:{settings.port}: {explain(error)}")
            continue
        try:
            yield connection
        finally:
            if connection.is_open:
                connection.close()
        return
    raise BrokerUnavailable("; ".join(failures))


def explain(error: BaseException) -> str:
    """Say in words why a connection or channel failed or ended."""
    cause = _root_cause(error)
    match cause:
        case exceptions.ProbableAuthenticationError() | exceptions.AuthenticationError():
            return "the broker refused the login (wrong user or password)"
        case exceptions.ProbableAccessDeniedError():
            return "the login may not use this virtual host, or there is no such host"
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
