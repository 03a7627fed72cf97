"""How a process of ours ends (sysexits.h)."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the exit code tells whoever started the process."""

    OK = 0
    FAILED = 1
    """A check or a command found something wrong."""

    SOFTWARE = 70
    """A thread of ours died: a fresh process is safer than a maimed one."""

    CONFIG = 78
    """Settings or topology are wrong: starting again changes nothing."""
