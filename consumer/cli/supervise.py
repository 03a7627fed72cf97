"""Runs supervisor in this process, and tells by the exit code whether it kept anything running.

supervisor itself exits 0 whatever became of its programs. Started by `hopmail run`.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from supervisor import process, supervisord  # type: ignore[import-untyped]  # it ships no types
from supervisor.options import ServerOptions  # type: ignore[import-untyped]  # as above
from supervisor.states import ProcessStates  # type: ignore[import-untyped]  # as above

from consumer.cli.watch import GAVE_UP
from consumer.core.exit_code import ExitCode

LAST_LINES_SECONDS: Final = 5.0
PAUSE_SECONDS: Final = 1.0
STOPS: Final = frozenset({signal.SIGTERM, signal.SIGINT})


class Options(ServerOptions):  # type: ignore[misc]  # as above
    """supervisor's ways to the system, of which no stop signal gets lost.

    A child that is signalled between fork and exec takes it for its parent's and forgets it.
    Blocked, it waits beyond the exec until the program, which then knows what to do, unblocks it.
    """

    def setsignals(self) -> None:
        """Take what came while starting, now that it can be handled."""
        super().setsignals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)

    def fork(self) -> int:
        """Fork a child with the stop signals blocked."""
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        pid = os.fork()
        if pid:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        return pid


class Process(process.Subprocess):  # type: ignore[misc]  # as above
    """A process that supervisor starts again not at once, but a moment after its end."""

    def transition(self) -> None:
        """Go on from the state it is in, if it is time."""
        ended_seconds = time.time() - self.laststop
        if self.state != ProcessStates.EXITED or not 0 <= ended_seconds < PAUSE_SECONDS:
            super().transition()


def main() -> None:
    """Serve the configuration file that is the one argument, until a signal."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    output = _through_a_pipe()
    supervisord.ServerOptions, process.Subprocess = Options, Process
    try:
        with TemporaryDirectory(prefix="hopmail-") as folder:
            os.environ["SUPERVISE_FOLDER"] = folder
            os.environ["SUPERVISE_PID"] = str(os.getpid())
            supervisord.main(["--nodaemon", "--configuration", sys.argv[1]])
            gave_up = Path(folder) / GAVE_UP
            code = int(gave_up.read_text()) if gave_up.exists() else ExitCode.OK
    finally:
        _finish(output)
    sys.exit(code)


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
