"""`hopmail topology users`: the broker's logins with the least rights, for `rabbitmqctl`."""

import base64
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from shlex import quote
from typing import Annotated, Any, Final

import typer

from consumer.core.permissions import (
    CONSUMER,
    CONSUMER_WITH_RETENTION,
    DEPLOY,
    OPERATOR,
    PUBLISHER,
    Role,
    User,
)

LOGIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")
SALT_BYTES: Final = 4


def users(
    apps: Annotated[
        list[str] | None,
        typer.Option("--app", help="Login of an app; again for each further app.", metavar="LOGIN"),
    ] = None,
    prefix: Annotated[
        str, typer.Option(help="The other logins are PREFIX-consumer, -operator and -deploy.")
    ] = "hopmail",
    vhost: Annotated[str, typer.Option(help="The virtual host the rights are for.")] = "/",
    *,
    retention: Annotated[
        bool,
        typer.Option(
            "--retention",
            help="The consumer may read dead letters too, and so remove them:"
            " HOPMAIL_DEADLETTER_RETENTION needs it.",
        ),
    ] = False,
    definitions: Annotated[
        bool,
        typer.Option(
            "--definitions",
            help="Print JSON for `rabbitmqctl import_definitions`, with salted hashes of passwords "
            "that are asked for, or read from standard input, a line each.",
        ),
    ] = False,
) -> None:
    """Print the least-privilege logins for the broker, as rabbitmqctl commands to run there."""
    consumer = CONSUMER_WITH_RETENTION if retention else CONSUMER
    listed = _users(tuple(apps or ["webapp"]), prefix, (consumer, OPERATOR, DEPLOY))
    if definitions:
        typer.echo(json.dumps(_definitions(listed, vhost), indent=2))
        return
    typer.echo("# Each add_user asks for a password, or reads it from standard input.")
    for line in _commands(listed, vhost):
        typer.echo(line)


def _users(apps: tuple[str, ...], prefix: str, roles: tuple[Role, ...]) -> tuple[User, ...]:
    others = (User(f"{prefix}-{role.name}", role) for role in roles)
    listed = (*(User(app, PUBLISHER) for app in dict.fromkeys(apps)), *others)
    if not all(LOGIN.fullmatch(user.login) for user in listed):
        raise typer.BadParameter("a login is made of letters, digits and . _ @ + -")
    if len({user.login for user in listed}) < len(listed):
        raise typer.BadParameter("an app's login must differ from those of --prefix")
    return listed


def _commands(listed: tuple[User, ...], vhost: str) -> Iterator[str]:
    for user in listed:
        role = user.role
        rights = " ".join(f"'{right}'" for right in (role.configure, role.write, role.read))
        yield f"\n# {role.meaning}"
        yield f"rabbitmqctl add_user {user.login}"
        yield f"rabbitmqctl set_permissions --vhost {quote(vhost)} {user.login} {rights}"


def _definitions(listed: tuple[User, ...], vhost: str) -> dict[str, Any]:
    return {
        "users": [
            {
                "name": user.login,
                "password_hash": _hashed(_password(user.login)),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": [],
            }
            for user in listed
        ],
        "vhosts": [{"name": vhost}],
        "permissions": [user.permission(vhost) for user in listed],
    }


def _password(login: str) -> str:
    if sys.stdin.isatty():
        return str(typer.prompt(f"password of {login}", hide_input=True, err=True))
    if password := sys.stdin.readline().rstrip("\r\n"):
        return password
    raise typer.BadParameter(f"standard input has no password for {login}: a line for each login")


def _hashed(password: str) -> str:
    """Salt and hash as RabbitMQ keeps it (https://www.rabbitmq.com/docs/passwords)."""
    salt = os.urandom(SALT_BYTES)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
