"""Runs supervisor in this process, and tells by the exit code whether it kept anything running.

supervisor itself exits 0 whatever became of its programs. Started by `hopmail run`.
"""

import logging
import os
import signal
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Final

from supervisor import process, supervisord  # type: ignore[import-untyped]  # it ships no types
from supervisor.options import (  # type: ignore[import-untyped]  # as above
    EventListenerConfig,
    ServerOptions,
)
from supervisor.states import ProcessStates  # type: ignore[import-untyped]  # as above

from consumer.cli.run_log import RunLog, begin_log
from consumer.cli.supervisor_log import SupervisorLog
from consumer.cli.watch import GAVE_UP
from consumer.core.exit_code import ExitCode

PAUSE_SECONDS: Final = 1.0
STOPS: Final = frozenset({signal.SIGTERM, signal.SIGINT})


class Options(ServerOptions):  # type: ignore[misc]  # as above
    """supervisor's ways to the system, of which no stop signal gets lost; its log is ours.

    A child that is signalled between fork and exec takes it for its parent's and forgets it.
    Blocked, it waits beyond the exec until the program, which then knows what to do, unblocks it.
    """

    def make_logger(self) -> None:
        """Begin the log, with what came up while the configuration was read.

        Not with `parse_criticals`: all it can hold is that root runs us, which in a container may
        be meant, and a cure for it that lies in a file of ours.
        """
        self.logger = SupervisorLog()
        for words in self.parse_warnings:
            self.logger.log(logging.WARNING, words)
        for words in self.parse_infos:
            self.logger.log(logging.INFO, words)

    def setsignals(self) -> None:
        """Take what came while starting, now that it can be handled."""
        super().setsignals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)

    def cleanup_fds(self) -> None:
        """Close nothing when SIGHUP begins anew: the log's file is ours, and no child gets it."""

    def fork(self) -> int:
        """Fork a child with the stop signals blocked."""
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        pid = os.fork()
        if pid:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        return pid


class Supervisor(supervisord.Supervisor):  # type: ignore[misc]  # as above
    """supervisor's main loop, which tends our log."""

    run_log: ClassVar[RunLog]
    """Of all that SIGHUP makes, one after another."""

    def tick(self, now: float | None = None) -> None:
        """Do what is to be done about once a second."""
        super().tick(now)
        self.run_log.tend()


class Process(process.Subprocess):  # type: ignore[misc]  # as above
    """A process that supervisor starts again not at once, but a moment after its end.

    It writes to our own output: passed on by supervisor, a line for each mail cost as much as a
    fifth of the rest.
    """

    def transition(self) -> None:
        """Go on from the state it is in, if it is time."""
        ended_seconds = time.time() - self.laststop
        if self.state != ProcessStates.EXITED or not 0 <= ended_seconds < PAUSE_SECONDS:
            super().transition()

    def _prepare_child_fds(self) -> None:
        options = self.config.options
        options.dup2(self.pipes["child_stdin"], 0)
        if isinstance(self.config, EventListenerConfig):
            # It has its talk with supervisor there.
            options.dup2(self.pipes["child_stdout"], 1)
        os.closerange(3, options.minfds)
        # Not in the terminal's foreground group, it may be forbidden to write there (`tostop`).
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)


def main() -> None:
    """Serve the configuration file that is the one argument, until a signal."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    Supervisor.run_log = begin_log()
    supervisord.ServerOptions, supervisord.Supervisor = Options, Supervisor
    process.Subprocess = Process
    with TemporaryDirectory(prefix="hopmail-") as folder:
        os.environ["SUPERVISE_FOLDER"] = folder
        os.environ["SUPERVISE_PID"] = str(os.getpid())
        supervisord.main(["--nodaemon", "--configuration", sys.argv[1]])
        gave_up = Path(folder) / GAVE_UP
        code = int(gave_up.read_text()) if gave_up.exists() else ExitCode.OK
    sys.exit(code)


if __name__ == "__main__":
    main()
