"""The `hopmail` command as a person runs it: a process of its own, with these settings only."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.support.consumer_process import state_folder
from tests.support.warm import run_warm

SECONDS = 60
MOST_SECONDS = 160

ONE_AFTER_THE_OTHER = """
import json, sys, traceback
from consumer.__main__ import main
for words in json.loads(sys.argv[1]):
    code = 0
    print("---", *words, flush=True)
    sys.argv = ["hopmail", *words]
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        code = 1
        traceback.print_exc()
    sys.stderr.flush()
    print("===", code or 0, flush=True)
"""

ROOT = Path(__file__).parents[2]


def environment(**settings: object) -> dict[str, str]:
    """Return the environment with these settings, named without HOPMAIL_ and in lower case."""
    bare = {name: text for name, text in os.environ.items() if not name.startswith("HOPMAIL_")}
    bare["HOPMAIL_STATE_DIR"] = str(state_folder(str(settings.get("amqp_url", ""))))
    return bare | {f"HOPMAIL_{name.upper()}": str(value) for name, value in settings.items()}


def hopmail(*arguments: str, **settings: object) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end."""
    env = environment(**settings)
    with (
        Path(os.devnull).open("rb") as nothing,
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as errors,
    ):
        code = run_warm(arguments, env, (nothing, output, errors), SECONDS)
        if code is not None:
            output.seek(0)
            errors.seek(0)
            said, wrong = output.read().decode(), errors.read().decode()
            return subprocess.CompletedProcess(arguments, code, said, wrong)
    return subprocess.run(
        [sys.executable, "-m", "consumer", *arguments],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def one_after_the_other(
    lines: Sequence[tuple[str, ...]], **settings: object
) -> list[tuple[int, str]]:
    """Run commands, and return the exit code of each and all that it said.

    In one process: to start one for each takes longer than all they do.
    """
    ended = subprocess.run(
        [sys.executable, "-c", ONE_AFTER_THE_OTHER, json.dumps(lines)],
        cwd=ROOT,
        env=environment(**settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=MOST_SECONDS,
        check=True,
    )
    told = (each.rpartition("=== ") for each in ended.stdout.split("--- ")[1:])
    return [(int(code), text) for text, _mark, code in told]
