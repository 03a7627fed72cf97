"""Which RabbitMQ a node runs: this machine's own, or that of another Debian in a folder."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = "HOPMAIL_TEST_BROKER_ROOT"
"""Names the folder of a whole Debian whose RabbitMQ is run (`dev.brokers` makes them)."""

SERVER: Final = "/usr/lib/rabbitmq/bin/rabbitmq-server"
ACCOUNT: Final = "rabbitmq"
PATH: Final = "/usr/lib/rabbitmq/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OPEN_FILES: Final = 65_536
AT_HOME: Final = f'cd "$HOME" && {{ ulimit -n {OPEN_FILES} 2>/dev/null; exec "$@"; }}'

# The mounts are in a namespace of the process's own, and end with it however it ends.
ENTER: Final = """
set -e
root=$1 account=$2
shift 2
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount --rbind /tmp "$root/tmp"
touch "$root/etc/hosts"
mount --bind /etc/hosts "$root/etc/hosts"
exec chroot --userspec="$account" "$root" "$@"
"""


class BrokerFailed(Exception):
    """There is no RabbitMQ, or it did not start; the text says what to do."""


class Installation:
    """Runs the programs of one RabbitMQ, as its package's account where we are root.

    Raises BrokerFailed where there is none.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        if not (root / SERVER.removeprefix("/")).exists():
            raise BrokerFailed(f"no RabbitMQ in {root}: run `apt-get install rabbitmq-server`")
        self.account = _account(root) if os.geteuid() == 0 else None
        """Its user and group id; None where we may not change ours."""

    @property
    def is_own(self) -> bool:
        """Whether it is this machine's."""
        return self._root == Path("/")

    def run(self, *command: str, env: dict[str, str]) -> None:
        """Run a program to its end. Raises CalledProcessError when it fails."""
        subprocess.run(self._line(command), env=env, check=True, **self._identity)

    def spawn(self, *command: str, env: dict[str, str], output: Any) -> "subprocess.Popen[bytes]":
        """Start a program in its HOME, as the leader of a session of its own."""
        return subprocess.Popen(
            self._line(["/bin/sh", "-c", AT_HOME, "sh", *command]),
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # A Ctrl-C is for us; we stop what we started when we are done with it.
            start_new_session=True,
            **self._identity,
        )

    @property
    def _identity(self) -> dict[str, Any]:
        if self.account is None or not self.is_own:
            return {}
        user, group = self.account
        return {"user": user, "group": group, "extra_groups": []}

    def _line(self, command: Sequence[str]) -> list[str]:
        if self.is_own:
            return list(command)
        if self.account is None:
            raise BrokerFailed(f"only root can run the RabbitMQ in {self._root}")
        account = ":".join(map(str, self.account))
        return [
            *("unshare", "--mount", "--propagation", "private"),
            *("sh", "-c", ENTER, "sh", str(self._root), account, *command),
        ]


def installation() -> Installation:
    """Return the one that the environment names, else this machine's. Raises BrokerFailed."""
    return Installation(Path(os.environ.get(ROOT, "/")))


def _account(root: Path) -> tuple[int, int]:
    for line in (root / "etc/passwd").read_text().splitlines():
        name, _password, user, group, *_rest = line.split(":")
        if name == ACCOUNT:
            return int(user), int(group)
    raise BrokerFailed(f"no account {ACCOUNT} in {root}: install its RabbitMQ anew")
