"""A network of our own: loopback only, where the line between two addresses can be cut.

`python -m dev.network exec -- COMMAND…` runs a command in one, which ends with it.
"""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

PRIVATE: Final = "HOPMAIL_TEST_PRIVATE_NETWORK"
"""Set in such a network, where alone rules may be changed."""

# A rule can come before the table of local addresses only if that is not looked up first of all.
ENTER: Final = """
set -e
ip link set lo up
ip rule add pref 10 lookup local
ip rule del pref 0
exec "$@"
"""


class NotPrivate(Exception):
    """The network is the machine's; the text says what to do."""


def within(*command: str) -> list[str]:
    """Return the command that runs another in a network of its own; only root can."""
    return ["unshare", "--net", "env", f"{PRIVATE}=yes", "sh", "-c", ENTER, "sh", *command]


@contextmanager
def parted(address: str, others: Iterable[str]) -> Iterator[None]:
    """Lose whatever an address and the others send each other, for the length of a block."""
    if PRIVATE not in os.environ:
        raise NotPrivate("run this in a network of its own: `make test-cluster`")
    pairs = [pair for other in others for pair in ((address, other), (other, address))]
    for pair in pairs:
        _rule("add", *pair)
    try:
        yield
    finally:
        for pair in pairs:
            _rule("del", *pair)


def _rule(act: str, source: str, target: str) -> None:
    command = ["ip", "rule", act, "pref", "5", "from", source, "to", target, "blackhole"]
    subprocess.run(command, check=True)


def main() -> None:
    """Become the command after `exec --`, in a network of its own."""
    match sys.argv[1:]:
        case ["exec", "--", *command] if command:
            inside = within(*command)
            os.execvp(inside[0], inside)  # noqa: S606 - the command is our caller's
        case _:
            sys.exit("usage: python -m dev.network exec -- COMMAND…")


if __name__ == "__main__":
    main()
