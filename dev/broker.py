"""A private RabbitMQ node: own name, ports, data and port mapper; gone without a trace when done.

`python -m dev.broker exec -- COMMAND…` runs a command beside such a node and tells it where it is.
"""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pika
from pika import exceptions

from dev.processes import (
    INTERRUPTED,
    LOOPBACK,
    free_ports,
    kill_group,
    leave_on_signals,
    stop,
    unhurried,
    wait_for_listener,
)

SERVER: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
ACCOUNT: Final = "rabbitmq"
START_SECONDS: Final = 90.0
MAPPER_SECONDS: Final = 5.0
COMMAND_STOP_SECONDS: Final = 60.0
OPEN_FILES: Final = 65_536

AMQP_URL: Final = "HOPMAIL_TEST_AMQP_URL"
MANAGEMENT_URL: Final = "HOPMAIL_TEST_MANAGEMENT_URL"


class BrokerFailed(Exception):
    """The node did not start; the text says what to do."""


class Node:
    """One node, run as the package's account where we are root."""

    def __init__(self, *, management: bool = False) -> None:
        self.port, self._management_port, self._distribution_port, self._mapper_port = free_ports(4)
        self._account = _account()
        # Root's own TMPDIR may be closed to the package's account.
        place = None if self._account is None else "/tmp"  # noqa: S108 - mkdtemp makes it ours
        self.folder = Path(tempfile.mkdtemp(prefix="hopmail-broker-", dir=place))
        self._environment = self._prepare(management=management)
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start it with a port mapper of its own, and do not wait for it."""
        with unhurried():
            self._spawn("epmd", "-port", str(self._mapper_port), "-address", LOOPBACK)
            # The node would start one of its own, which outlives it, where it finds none.
            wait_for_listener(self._mapper_port, MAPPER_SECONDS)
            self._spawn(str(SERVER))

    @property
    def url(self) -> str:
        """Where it listens; the login is RabbitMQ's own for loopback."""
        return f"amqp://guest:guest@{LOOPBACK}:{self.port}/%2F"

    @property
    def management_url(self) -> str:
        """The management plugin's API, if that was asked for."""
        return f"http://guest:guest@{LOOPBACK}:{self._management_port}/api"

    @property
    def pid(self) -> int:
        """The process id of the node."""
        return self._started[-1].pid

    def wait_ready(self) -> None:
        """Wait until it takes logins."""
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._started[-1].poll() is not None or time.monotonic() > deadline:
                raise BrokerFailed(f"RabbitMQ did not start; its last words:\n{self._last_words()}")
            time.sleep(0.2)

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        process = self._started.pop()
        # Its script runs the node as a child, in the group we made for both.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def restart(self) -> None:
        """Run it again on the same data after `kill`, and wait until it takes logins."""
        self._spawn(str(SERVER))
        self.wait_ready()

    def control(self, *command: str) -> None:
        """Run `rabbitmqctl` on it."""
        account = None if self._account is None else self._account.pw_uid
        subprocess.run(
            ["rabbitmqctl", "--quiet", *command], env=self._environment, user=account, check=True
        )

    def stop(self) -> None:
        """End node and port mapper, and remove all they wrote.

        A node that is still starting passes over SIGTERM, and what it would save is removed.
        """
        for process in reversed(self._started):
            kill_group(process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _prepare(self, *, management: bool) -> dict[str, str]:
        plugins = "rabbitmq_management" if management else ""
        (self.folder / "plugins").write_text(f"[{plugins}].\n")
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.default = {LOOPBACK}:{self.port}\n"
            "log.console = true\nlog.console.level = warning\nlog.file = false\n"
            # A laptop's nearly full disk must not stop a demo.
            "disk_free_limit.absolute = 50MB\n"
            + (
                f"management.tcp.ip = {LOOPBACK}\nmanagement.tcp.port = {self._management_port}\n"
                "collect_statistics_interval = 1000\n"
                if management
                else ""
            )
        )
        if self._account is not None:
            for path in (self.folder, *self.folder.iterdir()):
                os.chown(path, self._account.pw_uid, self._account.pw_gid)
        return {
            "PATH": "/usr/lib/rabbitmq/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.folder),
            "LC_ALL": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "RABBITMQ_NODENAME": f"hopmail{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            # Each port the runtime opens stays on this machine.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }

    def _spawn(self, *command: str) -> None:
        account = self._account
        with (self.folder / "output").open("ab") as output:
            process = subprocess.Popen(
                ["/bin/sh", "-c", f'ulimit -n {OPEN_FILES} 2>/dev/null; exec "$@"', "sh", *command],
                env=self._environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A Ctrl-C is for us; we stop the node when we are done with it.
                start_new_session=True,
                user=None if account is None else account.pw_uid,
                group=None if account is None else account.pw_gid,
                extra_groups=None if account is None else [],
            )
        self._started.append(process)

    def _answers(self) -> bool:
        try:
            pika.BlockingConnection(pika.URLParameters(self.url)).close()
        except (exceptions.AMQPError, OSError):
            return False
        return True

    def _last_words(self) -> str:
        lines = (self.folder / "output").read_text(errors="replace").splitlines()
        return "\n".join(lines[-15:])


def _account() -> pwd.struct_passwd | None:
    if not SERVER.exists():
        raise BrokerFailed("RabbitMQ is not installed: run `apt-get install rabbitmq-server`")
    return pwd.getpwnam(ACCOUNT) if os.geteuid() == 0 else None


@contextmanager
def private_node(*, management: bool = False) -> Iterator[Node]:
    """Run a node for the length of a block. Raises BrokerFailed when it does not start."""
    node = Node(management=management)
    try:
        node.start()
        node.wait_ready()
        yield node
    finally:
        with unhurried():
            node.stop()


def _exec(command: list[str]) -> int:
    if AMQP_URL in os.environ:
        return subprocess.run(command, check=False).returncode
    leave_on_signals()
    print("▸ starting a private RabbitMQ node … ", end="", flush=True)
    started = time.monotonic()
    with private_node(management=True) as node:
        print(f"{time.monotonic() - started:.0f} s", flush=True)
        told = {AMQP_URL: node.url, MANAGEMENT_URL: node.management_url}
        return _run(command, os.environ | told)


def _run(command: list[str], environment: dict[str, str]) -> int:
    process = None
    try:
        with unhurried():
            process = subprocess.Popen(command, env=environment)
        return process.wait()
    finally:
        if process is not None and process.poll() is None:
            with unhurried():
                # pytest takes down what its tests have started at SIGINT, not at SIGTERM.
                stop(process, COMMAND_STOP_SECONDS, signal.SIGINT)


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
