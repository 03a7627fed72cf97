"""A private RabbitMQ node: own name, ports, data and port mapper; gone without a trace when done.

`python -m dev.broker exec -- COMMAND…` runs a command beside such a node and tells it where it is.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import pika
from pika import exceptions

SERVER: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
ACCOUNT: Final = "rabbitmq"
START_SECONDS: Final = 90.0
STOP_SECONDS: Final = 30.0
MAPPER_SECONDS: Final = 5.0
OPEN_FILES: Final = 65_536
LOOPBACK: Final = "127.0.0.1"

AMQP_URL: Final = "HOPMAIL_TEST_AMQP_URL"
MANAGEMENT_URL: Final = "HOPMAIL_TEST_MANAGEMENT_URL"


class BrokerFailed(Exception):
    """The node did not start; the text says what to do."""


class Node:
    """One node, run as the package's account where we are root."""

    def __init__(self, *, management: bool = False) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="hopmail-broker-"))
        self.port, self._management_port, self._distribution_port, self._mapper_port = _free_ports()
        self._account = _account()
        self._environment = self._prepare(management=management)
        self._mapper = self._spawn("epmd", "-port", str(self._mapper_port), "-address", LOOPBACK)
        self._wait_for_mapper()
        self._process = self._spawn(str(SERVER))

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
        return self._process.pid

    def wait_ready(self) -> None:
        """Wait until it takes logins."""
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise BrokerFailed(f"RabbitMQ did not start; its last words:\n{self._last_words()}")
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop node and port mapper, and remove all they wrote."""
        for process in (self._process, self._mapper):
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _prepare(self, *, management: bool) -> dict[str, str]:
        plugins = "rabbitmq_management" if management else ""
        (self._folder / "plugins").write_text(f"[{plugins}].\n")
        (self._folder / "rabbitmq.conf").write_text(
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
            for path in (self._folder, *self._folder.iterdir()):
                os.chown(path, self._account.pw_uid, self._account.pw_gid)
        return {
            "PATH": "/usr/lib/rabbitmq/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self._folder),
            "LC_ALL": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "RABBITMQ_NODENAME": f"hopmail{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_CONFIG_FILE": str(self._folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "data"),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            # Each port the runtime opens stays on this machine.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }

    def _spawn(self, *command: str) -> "subprocess.Popen[bytes]":
        account = self._account
        with (self._folder / "output").open("ab") as output:
            return subprocess.Popen(
                ["/bin/sh", "-c", f'ulimit -n {OPEN_FILES} 2>/dev/null; exec "$@"', "sh", *command],
                env=self._environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A Ctrl-C is for us; we stop the node when we are done with it.
                start_new_session=True,
                user=None if account is None else account.pw_uid,
                group=None if account is None else account.pw_gid,
                extra_groups=None if account is None else [],
            )

    def _wait_for_mapper(self) -> None:
        # The node would start one of its own, which outlives it, where it finds none.
        deadline = time.monotonic() + MAPPER_SECONDS
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex((LOOPBACK, self._mapper_port)) == 0:
                    return
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            pika.BlockingConnection(pika.URLParameters(self.url)).close()
        except (exceptions.AMQPError, OSError):
            return False
        return True

    def _last_words(self) -> str:
        lines = (self._folder / "output").read_text(errors="replace").splitlines()
        return "\n".join(lines[-15:])


def _account() -> pwd.struct_passwd | None:
    if not SERVER.exists():
        raise BrokerFailed("RabbitMQ is not installed: run `apt-get install rabbitmq-server`")
    return pwd.getpwnam(ACCOUNT) if os.geteuid() == 0 else None


def _free_ports() -> tuple[int, ...]:
    listeners = [socket.create_server((LOOPBACK, 0)) for _ in range(4)]
    ports = tuple(listener.getsockname()[1] for listener in listeners)
    for listener in listeners:
        listener.close()
    return ports


@contextmanager
def private_node(*, management: bool = False) -> Iterator[Node]:
    """Run a node for the length of a block. Raises BrokerFailed when it does not start."""
    node = Node(management=management)
    try:
        node.wait_ready()
        yield node
    finally:
        node.stop()


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _exec(command: list[str]) -> int:
    if AMQP_URL in os.environ:
        return subprocess.run(command, check=False).returncode
    signal.signal(signal.SIGTERM, _leave)
    print("▸ starting a private RabbitMQ node …", flush=True)
    started = time.monotonic()
    with private_node(management=True) as node:
        print(f"▸ RabbitMQ is up after {time.monotonic() - started:.0f} s", flush=True)
        told = {AMQP_URL: node.url, MANAGEMENT_URL: node.management_url}
        return subprocess.run(command, env=os.environ | told, check=False).returncode


def main() -> None:
    """Run the command after `exec --`."""
    match sys.argv[1:]:
        case ["exec", "--", *command] if command:
            try:
                sys.exit(_exec(command))
            except BrokerFailed as error:
                sys.exit(f"✗ {error}")
        case _:
            sys.exit("usage: python -m dev.broker exec -- COMMAND…")


if __name__ == "__main__":
    main()
