"""supervisor's words as lines of our log, by a logger it takes for one of its own."""

import logging
from logging import DEBUG, ERROR, INFO, WARNING
from typing import Any, Final

from supervisor import loggers  # type: ignore[import-untyped]  # it ships no types

MEANINGS: Final = {
    "spawned: ": ("process started", INFO),
    "spawnerr: ": ("process not started", WARNING),
    # Its settings are wrong, or it died; one that we stop is `stopped`.
    "exited: ": ("process ended", WARNING),
    "gave up: ": ("process given up", ERROR),
    "stopped: ": ("process stopped", INFO),
    # Of a process that is a second old; when it works, a worker says so itself.
    "success: ": ("process running", DEBUG),
    # How everybody stops us.
    "received SIGTERM ": ("supervisor", INFO),
    "received SIGINT ": ("supervisor", INFO),
    # Its socket lies in a folder that only its user may enter.
    "Server 'unix_http_server' running without ": ("supervisor", DEBUG),
    "RPC interface ": ("supervisor", DEBUG),
}
"""How a message of supervisor's begins, and the event and level it is to an operator.

By itself supervisor warns of every ordinary stop, and finds a process it gives up worth no warning.
"""

log = logging.getLogger("supervisor")


class SupervisorLog(loggers.Logger):  # type: ignore[misc]  # as above
    """Gives each message to our log, verbatim as `detail`.

    Its levels have the numbers of Python's; what is not in `MEANINGS` keeps its level.
    """

    def __init__(self) -> None:
        # Ours leaves out what is too low, by the level it has here.
        super().__init__(DEBUG)

    def log(self, level: int, msg: Any, **kw: Any) -> None:
        """Log a message, with what is to be filled in to it."""
        words = loggers.LogRecord(level, msg, **kw).asdict()["message"]
        event, level = next(
            (meaning for begin, meaning in MEANINGS.items() if words.startswith(begin)),
            ("supervisor", level),
        )
        log.log(level, event, extra={"detail": words})
