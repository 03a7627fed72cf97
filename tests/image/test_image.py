"""The image that Dockerfile describes, built here, at work: its root read-only, its user no one."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dev.image import Image, built
from tests.support.broker import VirtualHost
from tests.support.consumer_process import wait_until
from tests.support.container import Container, container, living_with
from tests.support.smtp_server import SmtpServer, smtp_server

# The first test builds it, and the first time its base too.
pytestmark = [pytest.mark.image, pytest.mark.timeout(900)]

MB = 1_000_000
EMAIL = json.dumps(
    {
        "email_to": "ada@example.org",
        "email_from": "app@example.org",
        "subject": "Hello",
        "message": {"text": "Hello"},
    }
).encode()

# As docker-compose.yml has it: read_only, tmpfs, volumes, cap_drop, no-new-privileges.
INSIDE = """
set -e
root=$1 volumes=$2 user=$3 group=$4 folder=$5
shift 5
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o "nosuid,nodev,noexec,mode=0700,uid=$user,gid=$group" tmpfs "$root/run/hopmail"
for name in state metrics; do
  mount --bind "$volumes/$name" "$root/var/lib/hopmail/$name"
done
exec chroot "$root" setpriv --reuid="$user" --regid="$group" --clear-groups \
  --bounding-set=-all --inh-caps=-all --no-new-privs env --chdir="$folder" "$@"
"""

WITHOUT_BYTECODE = """
import pathlib, sys
import consumer.cli.app, consumer.cli.supervise
print([
    name for name, module in sys.modules.items()
    if (cached := getattr(module, "__cached__", None)) and not pathlib.Path(cached).exists()
])
"""


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """Build the image."""
    with built() as image:
        yield image


class Machine:
    """Runs containers of the image, which share their volumes, a broker and a relay."""

    def __init__(self, image: Image, folder: Path, vhost: VirtualHost, relay: SmtpServer) -> None:
        self._image = image
        self._folder = folder
        self._settings = {
            "HOPMAIL_AMQP_URL": vhost.url,
            "HOPMAIL_SMTP_URL": relay.url,
            "HOPMAIL_LOG_FORMAT": "json",
        }
        self.metrics = folder / "metrics"
        for volume in (self.metrics, folder / "state"):
            volume.mkdir()
            os.chown(volume, *image.user)

    @contextmanager
    def running(self, *command: str, name: str = "c0ffee") -> Iterator[Container]:
        """Run a command, by default the image's own, for the length of a block."""
        config = self._image.config
        user, group = map(str, self._image.user)
        line = [
            *("sh", "-c", INSIDE, "sh", self._image.root, self._folder),
            *(user, group, config["WorkingDir"], *(command or config["Cmd"])),
        ]
        log = self._folder / f"{name}-{'-'.join(command[:2]) or 'run'}.log".replace("/", "_")
        with container(name, line, log, self._image.environment | self._settings) as made:
            yield made

    def run(self, *command: str) -> tuple[int, str]:
        """Run a command to its end; return its exit code, and what it wrote."""
        with self.running(*command) as made:
            return made.wait(), made.log.read_text()

    def is_healthy(self) -> bool:
        """Run the image's health check."""
        kind, *check = self._image.config["Healthcheck"]["Test"]
        assert kind == "CMD"
        return self.run(*check)[0] == 0


@pytest.fixture
def relay() -> Iterator[SmtpServer]:
    """Run a relay."""
    with smtp_server() as running:
        yield running


@pytest.fixture
def machine(
    image: Image, tmp_path: Path, vhost: VirtualHost, relay: SmtpServer
) -> Iterator[Machine]:
    """Return a machine with empty volumes, and a broker with all queues.

    Nothing of its containers is left in the end.
    """
    vhost.declare_topology()
    yield Machine(image, tmp_path, vhost, relay)
    assert living_with(vhost.url) == []


def test_check_finds_all_right_there(machine: Machine) -> None:
    code, told = machine.run("hopmail", "topology", "apply")
    assert code == 0, told
    code, told = machine.run("hopmail", "check")

    assert code == 0, told
    assert {line[0] for line in told.splitlines()} == {"✓"}


def test_it_delivers_tells_that_it_is_well_and_stops(
    machine: Machine, vhost: VirtualHost, relay: SmtpServer
) -> None:
    with machine.running() as made:
        wait_until(lambda: vhost.consumers_of("email.transactional.v1"), 60, "consumers")
        vhost.publish_raw(EMAIL)
        wait_until(lambda: relay.mails, 30, "the mail")
        wait_until(machine.is_healthy, 60, "health")
        figures = {path.name: path.read_text() for path in machine.metrics.glob("*.prom")}

        assert set(figures) == {"hopmail-c0ffee-0.prom", "hopmail-c0ffee-1.prom"}
        assert all('hopmail_processes{worker="c0ffee-' in page for page in figures.values())
        assert made.stop() == 0
        assert levels(made) == {"INFO"}

    assert not machine.is_healthy()
    assert list(machine.metrics.glob("*.prom")) == []
    assert len(relay.mails) == 1


def test_one_process_delivers_alone(
    machine: Machine, vhost: VirtualHost, relay: SmtpServer
) -> None:
    with machine.running("hopmail", "consume") as made:
        wait_until(lambda: vhost.consumers_of("email.transactional.v1"), 60, "the consumer")
        vhost.publish_raw(EMAIL)
        wait_until(lambda: relay.mails, 30, "the mail")

        assert made.stop() == 0


def test_several_share_their_volumes(
    machine: Machine, vhost: VirtualHost, relay: SmtpServer
) -> None:
    with (
        machine.running(name="c0ffee1") as first,
        machine.running(name="c0ffee2") as second,
    ):
        wait_until(lambda: len(list(machine.metrics.glob("*.prom"))) == 4, 60, "all figures")
        for _copy in range(2):
            vhost.publish_raw(EMAIL, message_id="m-1")
        wait_until(lambda: copies_handled(first, second) == 2, 60, "both copies")
        wait_until(machine.is_healthy, 60, "health")

    assert len(relay.mails) == 1


def levels(made: Container) -> set[str]:
    return {json.loads(line)["level"] for line in made.log.read_text().splitlines()}


def copies_handled(*containers: Container) -> int:
    return sum(made.log.read_text().count('"event": "handled"') for made in containers)


def test_all_it_imports_is_compiled(machine: Machine) -> None:
    assert machine.run("python", "-c", WITHOUT_BYTECODE) == (0, "[]\n")


def test_it_can_write_nowhere_but_where_it_must(machine: Machine) -> None:
    script = 'for place; do touch "$place/file" && echo "$place"; done'
    places = ("/", "/tmp", "/opt/hopmail", "/var/lib/hopmail", "/run")  # noqa: S108 - not ours
    wanted = ("/run/hopmail", "/var/lib/hopmail/state", "/var/lib/hopmail/metrics")

    _code, told = machine.run("sh", "-c", script, "sh", *places, *wanted)

    assert [line for line in told.splitlines() if line.startswith("/")] == [*wanted]


def test_it_cannot_install_anything_into_itself(machine: Machine) -> None:
    code, told = machine.run("python", "-m", "pip", "--version")

    assert code != 0
    assert "No module named pip" in told


def test_what_it_says_of_itself(image: Image) -> None:
    config: dict[str, Any] = dict(image.config)

    assert config["Labels"]["org.opencontainers.image.title"] == "Hopmail"
    assert config["StopSignal"] == "SIGTERM"
    assert not config.get("ExposedPorts")
    assert set(config["Volumes"]) == {"/var/lib/hopmail/state"}


def test_what_is_ours_in_it_is_small(image: Image) -> None:
    sizes = (path.stat().st_size for path in (image.root / "opt/hopmail").rglob("*"))

    # 11 MB of it are cryptography's, for HOPMAIL_DEADLETTER_BODY=encrypt.
    assert sum(sizes) < 72 * MB
