"""The `hopmail` command as a person runs it: a process of its own, with these settings only."""

import os
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from consumer.cli.app import app
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


def inside(
    *arguments: str, stdin: str | bytes | None = None, **settings: object
) -> "subprocess.CompletedProcess[str]":
    """Run the command in this process, in a fraction of the time: for one that starts nothing."""
    bare: dict[str, str | None] = {name: None for name in os.environ if name.startswith("HOPMAIL_")}
    set_ = {f"HOPMAIL_{name.upper()}": str(value) for name, value in settings.items()}
    ended = CliRunner().invoke(
        app, arguments, input=stdin, env=bare | set_ | {"COLUMNS": "80"}, prog_name="hopmail"
    )
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    return subprocess.CompletedProcess(arguments, ended.exit_code, ended.stdout, ended.stderr)
