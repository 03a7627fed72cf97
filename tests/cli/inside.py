"""The `hopmail` command run inside the tests' process: for what starts nothing, and is quick."""

import os
import subprocess

from typer.testing import CliRunner

from consumer.cli.app import app


def inside(
    *arguments: str, stdin: str | bytes | None = None, **settings: object
) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end, with these settings only."""
    bare: dict[str, str | None] = {name: None for name in os.environ if name.startswith("HOPMAIL_")}
    set_ = {f"HOPMAIL_{name.upper()}": str(value) for name, value in settings.items()}
    ended = CliRunner().invoke(
        app, arguments, input=stdin, env=bare | set_ | {"COLUMNS": "80"}, prog_name="hopmail"
    )
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    return subprocess.CompletedProcess(arguments, ended.exit_code, ended.stdout, ended.stderr)
