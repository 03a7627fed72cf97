"""A hang-up that no signal tells of."""

import os
import signal
from typing import Final

TERMINAL: Final = "/dev/tty"
HUNG_UP: Final = 128 + signal.SIGHUP


class Terminal:
    """The terminal we were started from by make, where make leads its session.

    The kernel sends SIGHUP to a session's leader alone; make then waits for its children without
    a word to them, so the hang-up shows only in that our terminal is gone (tty(4)).
    """

    def __init__(self) -> None:
        ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # nohup
        self._counts = os.getsid(0) == os.getppid() and _is_there() and not ignored

    def is_gone(self) -> bool:
        """Whether it was there and has been hung up."""
        return self._counts and not _is_there()


def _is_there() -> bool:
    try:
        os.close(os.open(TERMINAL, os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
