"""The `hopmail` command as a person runs it: a process of its own, with these settings only."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.consumer_process import state_folder

ROOT = Path(__file__).parents[2]


def environment(**settings: object) -> dict[str, str]:
    """Return the environment with these settings, named without HOPMAIL_ and in lower case."""
    bare = {name: text for name, text in os.environ.items() if not name.startswith("HOPMAIL_")}
    bare["HOPMAIL_STATE_DIR"] = str(state_folder(str(settings.get("amqp_url", ""))))
    return bare | {f"HOPMAIL_{name.upper()}": str(value) for name, value in settings.items()}


def hopmail(*arguments: str, **settings: object) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "consumer", *arguments],
        cwd=ROOT,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
