"""Runs supervisor in this process, and tells by the exit code whether it kept anything running.

supervisor itself exits 0 whatever became of its programs. Started by `hopmail run`.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from supervisor import supervisord  # type: ignore[import-untyped]  # it ships no types

from consumer.cli.watch import GAVE_UP

LAST_LINES_SECONDS = 5.0


def main() -> None:
    """Serve the configuration file that is the one argument, until a signal."""
    folder = Path(os.environ["SUPERVISE_FOLDER"])
    output = _through_a_pipe()
    try:
        supervisord.main(["--nodaemon", "--configuration", sys.argv[1]])
        gave_up = (folder / GAVE_UP).exists()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _finish(output)
    sys.exit(1 if gave_up else 0)


def _through_a_pipe() -> "subprocess.Popen[bytes]":
    # supervisor opens /dev/fd/1 anew for each worker. Of a pipe of ours it may; of a socket
    # (systemd's) or another user's file it may not, and in a plain file lines would be overwritten.
    output = subprocess.Popen(["cat"], stdin=subprocess.PIPE, start_new_session=True)  # noqa: S607 - the one on the PATH
    if output.stdin is not None:
        for stream in (1, 2):
            os.dup2(output.stdin.fileno(), stream)
        output.stdin.close()
    return output


def _finish(output: "subprocess.Popen[bytes]") -> None:
    """Let the last lines out: it ends once every copy of the pipe's end is closed."""
    sys.stdout.flush()
    os.closerange(1, 1024)
    output.wait(LAST_LINES_SECONDS)


if __name__ == "__main__":
    main()
