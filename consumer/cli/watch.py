"""A supervisor event listener: ends supervisor once every consumer process is given up.

Left alone it would go on with nothing to supervise, and a container would look alive.
http://supervisord.org/events.html#event-listener-notification-protocol
"""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

GAVE_UP: Final = "gave-up"
"""The file in supervisor's folder that says: no process could be kept running."""


def main() -> None:
    """Read state changes from supervisor until all processes are in FATAL."""
    # supervisor's children start with these blocked.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
    folder, processes = Path(os.environ["SUPERVISE_FOLDER"]), int(os.environ["SUPERVISE_PROCESSES"])
    fatal: set[str] = set()
    for event, process in _changes():
        if event == "PROCESS_STATE_FATAL":
            fatal.add(process)
        else:
            fatal.discard(process)
        if len(fatal) == processes:
            (folder / GAVE_UP).touch()
            os.kill(os.getppid(), signal.SIGTERM)


def _changes() -> Iterator[tuple[str, str]]:
    """Yield (event, process name); each is acknowledged when the next is asked for."""
    while True:
        _say("READY\n")
        line = sys.stdin.readline()
        if not line:
            return
        head = _tokens(line)
        body = _tokens(sys.stdin.read(int(head["len"])))
        yield head["eventname"], body["processname"]
        _say("RESULT 2\nOK")


def _tokens(text: str) -> dict[str, str]:
    return dict(token.split(":", 1) for token in text.split())


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
