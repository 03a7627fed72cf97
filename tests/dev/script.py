"""The scripts of dev/ as a person starts them."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def environment(amqp_url: str) -> dict[str, str]:
    """Return the environment in which a script finds this checkout and a given broker."""
    added = {"PYTHONUNBUFFERED": "", "PYTHONPATH": str(ROOT), "HOPMAIL_AMQP_URL": amqp_url}
    return os.environ | added


def start(script: str, folder: Path, amqp_url: str) -> "subprocess.Popen[bytes]":
    """Start a script on a given broker; what it keeps lies in `folder`/.state."""
    with (folder / "output").open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-X", "utf8", "-m", f"dev.{script}"],
            cwd=folder,
            env=environment(amqp_url),
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def output(folder: Path) -> str:
    """Return what it has printed so far."""
    return (folder / "output").read_text()
