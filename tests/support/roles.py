"""The logins that `hopmail topology users` makes, on the broker under test."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.cli.command import ROOT
from tests.support.broker import PASSWORD, VirtualHost

NAMES = ("publisher", "consumer", "operator", "deploy")


def definitions(vhost: str, app: str, prefix: str, passwords: list[str]) -> dict[str, Any]:
    """Return what the command prints; it needs no settings."""
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "consumer", "topology", "users", "--definitions"),
            *("--vhost", vhost, "--app", app, "--prefix", prefix),
        ],
        cwd=ROOT,
        env={name: text for name, text in os.environ.items() if not name.startswith("HOPMAIL_")},
        input="".join(f"{password}\n" for password in passwords),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
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
