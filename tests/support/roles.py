"""The logins that `hopmail topology users` makes, on the broker under test."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from typer.testing import CliRunner

from consumer.cli.app import app
from tests.support.broker import PASSWORD, VirtualHost

NAMES = ("publisher", "consumer", "operator", "deploy")


def definitions(vhost: str, login: str, prefix: str, passwords: list[str]) -> dict[str, Any]:
    """Return what the command prints."""
    ended = CliRunner().invoke(
        app,
        [
            *("topology", "users", "--definitions"),
            *("--vhost", vhost, "--app", login, "--prefix", prefix),
        ],
        input="".join(f"{password}\n" for password in passwords),
        catch_exceptions=False,
    )
    assert ended.exit_code == 0, ended.output
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


@contextmanager
def least_privilege(vhost: VirtualHost) -> Iterator[Mapping[str, str]]:
    """Make the logins in a virtual host for the length of a block; return each one's URL."""
    prefix = f"least-{vhost.name}"
    made = definitions(vhost.name, f"{prefix}-publisher", prefix, [PASSWORD] * len(NAMES))
    vhost.broker.request("POST", "definitions", made)
    try:
        yield {name: vhost.url_for(f"{prefix}-{name}") for name in NAMES}
    finally:
        for name in NAMES:
            vhost.broker.request("DELETE", f"users/{prefix}-{name}")
