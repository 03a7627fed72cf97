"""A Debian in a folder: for the RabbitMQ of another release, or as the base of an image."""

import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Final

from dev.installation import BrokerFailed
from dev.terminal import step

FOLDER: Final = Path(__file__).parents[1] / ".state" / "brokers"
SCRIPT: Final = "/usr/share/debootstrap/scripts/trixie"
"""Later releases are set up in the same way, but debootstrap need not know their names."""


def with_rabbitmq(release: str) -> Path:
    """Return the folder of a release with its RabbitMQ, made the first time.

    Raises BrokerFailed.
    """
    folder = FOLDER / release
    if not folder.exists():
        if os.geteuid() != 0:
            raise BrokerFailed("only root can install another release's RabbitMQ")
        with step(f"installing the RabbitMQ of Debian {release} (about a minute)"):
            make_root(release, folder, "rabbitmq-server")
    return folder


def make_root(release: str, folder: Path, *packages: str) -> None:
    """Install a release with these packages into a folder that is not there yet.

    Raises BrokerFailed.
    """
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    log = folder.with_name(f"{folder.name}.log")
    command = [
        # What it mounts goes when it ends, however that is.
        *("unshare", "--mount", "--propagation", "private"),
        *("debootstrap", "--variant=minbase", f"--include={','.join(packages)}"),
        *(release, str(unfinished), _mirror(), SCRIPT),
    ]
    with log.open("wb") as output:
        code = subprocess.run(command, stdout=output, stderr=output, check=False).returncode
    if code:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
        raise BrokerFailed(f"cannot install Debian {release} (all of it: {log}):\n{last}")
    shutil.rmtree(unfinished / "var/cache/apt/archives")
    unfinished.rename(folder)


def version_of(folder: Path) -> str:
    """Return which RabbitMQ is in there: "4.0.5"."""
    command = ["dpkg-query", f"--root={folder}", "--show", "--showformat=${Version}"]
    return _output(*command, "rabbitmq-server").partition("-")[0]


def _mirror() -> str:
    """Return where this machine's own Debian packages come from."""
    own = platform.freedesktop_os_release()["VERSION_CODENAME"]
    for line in _output("apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)").split(
        "\n"
    ):
        release, _, address = line.partition(" ")
        if release == own:
            return address
    raise BrokerFailed("apt names no source of Debian packages")


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
