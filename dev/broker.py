"""A private RabbitMQ node: own name, ports, data and port mapper; gone without a trace when done.

`python -m dev.broker exec -- COMMAND…` runs a command beside such a node and tells it where it is.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pika

from dev.configuration import Place, environment, write_files
from dev.installation import SERVER, BrokerFailed, Installation, installation
from dev.mapper import Mapper
from dev.processes import (
    INTERRUPTED,
    LOOPBACK,
    kill_group,
    leave_on_signals,
    run,
    unhurried,
)
from publisher_lib.broker_url import CONNECT_ERRORS

START_SECONDS: Final = 90.0
NOTHING: Final[Mapping[str, object]] = MappingProxyType({})

AMQP_URL: Final = "HOPMAIL_TEST_AMQP_URL"
MANAGEMENT_URL: Final = "HOPMAIL_TEST_MANAGEMENT_URL"


@dataclass(frozen=True)
class Company:
    """What the nodes of a cluster have in common; a node alone has it for itself."""

    installation: Installation = field(default_factory=installation)
    mapper: Mapper = field(default_factory=Mapper)
    cookie: str = field(default_factory=secrets.token_hex)


class Node:
    """One node, which stops its port mapper too unless that is a company's.

    `settings` are added to rabbitmq.conf, `arguments` to those of the Erlang runtime.
    """

    def __init__(
        self,
        *,
        management: bool = False,
        prometheus: bool = False,
        settings: Mapping[str, object] = NOTHING,
        arguments: Sequence[str] = (),
        address: str = LOOPBACK,
        company: Company | None = None,
    ) -> None:
        self._is_alone = company is None
        self._company = company or Company()
        self._installation = self._company.installation
        owner = self._installation.account
        # Root's own TMPDIR may be closed to the package's account.
        parent = None if owner is None else "/tmp"  # noqa: S108 - mkdtemp makes it ours
        self.folder = Path(tempfile.mkdtemp(prefix="hopmail-broker-", dir=parent))
        self._place = Place.free(self.folder, address)
        cookie = self._company.cookie
        write_files(
            self._place,
            owner,
            cookie=cookie,
            management=management,
            prometheus=prometheus,
            settings=settings,
        )
        self._environment = environment(self._place, self._company.mapper.port, arguments)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and do not wait for it."""
        with unhurried():
            if self._is_alone:
                self._company.mapper.start()
            self._spawn()

    @property
    def name(self) -> str:
        """Its name in the cluster."""
        return self._place.node_name

    @property
    def address(self) -> str:
        """The loopback address it listens on."""
        return self._place.address

    @property
    def port(self) -> int:
        """The port it listens on for AMQP."""
        return self._place.amqp_port

    @property
    def url(self) -> str:
        """Where it listens; the login is RabbitMQ's own for loopback."""
        return f"amqp://guest:guest@{self.address}:{self.port}/%2F"

    @property
    def management_url(self) -> str:
        """The management plugin's API, if that was asked for."""
        return f"http://guest:guest@{self.address}:{self._place.management_port}/api"

    @property
    def prometheus_port(self) -> int:
        """Where the plugin for Prometheus listens, if that was asked for."""
        return self._place.prometheus_port

    @property
    def pid(self) -> int:
        """The process id of the node."""
        return self._running.pid

    def wait_ready(self) -> None:
        """Wait until it takes logins."""
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._running.poll() is not None or time.monotonic() > deadline:
                raise BrokerFailed(f"RabbitMQ did not start; its last words:\n{self._last_words()}")
            time.sleep(0.2)

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        # Its script runs the node as a child, in the group we made for both.
        kill_group(self._running)
        self._process = None

    def restart(self) -> None:
        """Run it again on the same data after `kill`, and wait until it takes logins."""
        self._spawn()
        self.wait_ready()

    def signal(self, number: signal.Signals) -> None:
        """Signal all its processes: SIGSTOP has it accept connections and never answer."""
        os.killpg(self.pid, number)

    def control(self, *command: str) -> None:
        """Run `rabbitmqctl` on it."""
        self._installation.run("rabbitmqctl", "--quiet", *command, env=self._environment)

    def stop(self) -> None:
        """End node and port mapper, and remove all they wrote.

        A node that is still starting passes over SIGTERM, and what it would save is removed.
        """
        if self._process is not None:
            self.kill()
        if self._is_alone:
            self._company.mapper.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise BrokerFailed("the node does not run")
        return self._process

    def _spawn(self) -> None:
        with (self.folder / "output").open("ab") as output:
            self._process = self._installation.spawn(SERVER, env=self._environment, output=output)

    def _answers(self) -> bool:
        try:
            pika.BlockingConnection(pika.URLParameters(self.url)).close()
        except CONNECT_ERRORS:
            return False
        return True

    def _last_words(self) -> str:
        lines = (self.folder / "output").read_text(errors="replace").splitlines()
        return "\n".join(lines[-15:])


@contextmanager
def private_node(
    *,
    management: bool = False,
    prometheus: bool = False,
    settings: Mapping[str, object] = NOTHING,
    arguments: Sequence[str] = (),
) -> Iterator[Node]:
    """Run a node for the length of a block. Raises BrokerFailed when it does not start."""
    node = Node(
        management=management, prometheus=prometheus, settings=settings, arguments=arguments
    )
    try:
        node.start()
        node.wait_ready()
        yield node
    finally:
        with unhurried():
            node.stop()


def _exec(command: list[str]) -> int:
    if AMQP_URL in os.environ:
        return run(command, dict(os.environ))
    leave_on_signals()
    print("▸ starting a private RabbitMQ node … ", end="", flush=True)
    started = time.monotonic()
    with private_node(management=True) as node:
        print(f"{time.monotonic() - started:.0f} s", flush=True)
        told = {AMQP_URL: node.url, MANAGEMENT_URL: node.management_url}
        return run(command, os.environ | told)


def main() -> None:
    """Run the command after `exec --`."""
    match sys.argv[1:]:
        case ["exec", "--", *command] if command:
            try:
                sys.exit(_exec(command))
            except BrokerFailed as error:
                sys.exit(f"\n✗ {error}")
            except KeyboardInterrupt:
                sys.exit(INTERRUPTED)
        case _:
            sys.exit("usage: python -m dev.broker exec -- COMMAND…")


if __name__ == "__main__":
    main()
