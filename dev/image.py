"""The container image, built by buildah on a base made here of Debian's packages.

For machines that reach no registry of images: the base has what Dockerfile needs of the official
one, and lacks what that lacks. `buildah` and `debootstrap` must be there, and only root can.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dev.debian import make_root

REPOSITORY: Final = Path(__file__).parents[1]
FOLDER: Final = REPOSITORY / ".state" / "image"
RELEASE: Final = "bookworm"
PYTHON_VERSION: Final = "3.11"
PACKAGES: Final = ("ca-certificates", "python3", "python3-pip")
BASE: Final = "localhost/hopmail-base"
IMAGE: Final = "localhost/hopmail"
WHEELS: Final = "/wheels"


@dataclass(frozen=True)
class Image:
    """A built image: where its files can be read, and what it says of itself."""

    root: Path
    config: Mapping[str, Any]

    @property
    def environment(self) -> dict[str, str]:
        """The variables that a container of it has."""
        return dict(variable.split("=", 1) for variable in self.config["Env"])

    @property
    def user(self) -> tuple[int, int]:
        """The user and group that it runs as."""
        user, group = self.config["User"].split(":")
        return int(user), int(group)


@contextmanager
def built() -> Iterator[Image]:
    """Build Dockerfile, and mount what comes of it for the length of a block.

    The base is made the first time. Raises BrokerFailed, or CalledProcessError, its output shown.
    """
    _make_base()
    _fetch_wheels()
    told = FOLDER / "pip.conf"
    told.write_text(f"[global]\nno-index = true\nfind-links = {WHEELS}\n")
    _buildah(
        *("build-using-dockerfile", "--isolation", "chroot", "--format", "docker", "--pull-never"),
        *("--build-arg", f"PYTHON_IMAGE={BASE}", "--tag", IMAGE),
        *("--volume", f"{FOLDER / 'wheels'}:{WHEELS}:ro", "--volume", f"{told}:/etc/pip.conf:ro"),
        str(REPOSITORY),
    )
    container = _buildah("from", "--pull-never", IMAGE)
    try:
        found = json.loads(_buildah("inspect", "--type", "image", IMAGE))
        yield Image(Path(_buildah("mount", container)), found["Docker"]["config"])
    finally:
        _buildah("rm", container)


def _make_base() -> None:
    if BASE in _buildah("images", "--format", "{{.Name}}").split():
        return
    root = FOLDER / "base"
    if not root.exists():
        make_root(RELEASE, root, *PACKAGES)
    # The official image has none either.
    for bytecode in list((root / "usr/lib").glob("python3*/**/__pycache__")):
        shutil.rmtree(bytecode)
    container = _buildah("from", "scratch")
    _buildah("add", "--quiet", container, str(root), "/")
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    _buildah("config", "--env", f"PATH={path}", container)
    _buildah("commit", "--rm", "--quiet", container, BASE)


def _fetch_wheels() -> None:
    """Get what the image installs, by this machine's own pip and its settings."""
    _run(
        *(sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check"),
        *("--dest", str(FOLDER / "wheels"), "--only-binary=:all:"),
        *("--python-version", PYTHON_VERSION, "--implementation", "cp"),
        *("--constraint", str(REPOSITORY / "constraints.txt")),
        # The last for redis on Debian's Python, which is older than 3.11.3.
        *("hatchling", f"{REPOSITORY}[consumer,redis,encrypt]", "async-timeout"),
    )


def _buildah(*arguments: str) -> str:
    store = ("--root", str(FOLDER / "store"), "--runroot", str(FOLDER / "run"))
    return _run("buildah", *store, "--storage-driver", "vfs", *arguments)


def _run(*command: str) -> str:
    """Return what a command wrote; raises CalledProcessError, its errors shown."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()
