"""A supervisor event listener: ends supervisor once no consumer process is started again.

Left alone it would go on with nothing to supervise, and a container would look alive.
http://supervisord.org/events.html#event-listener-notification-protocol
"""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from consumer.core.exit_code import ExitCode

GAVE_UP: Final = "gave-up"
"""The file in supervisor's folder that says: no process is kept running. It holds the exit code."""


def main() -> None:
    """Read state changes from supervisor until all processes are given up or say 78."""
    # supervisor's children start with these blocked.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
    folder, processes = Path(os.environ["SUPERVISE_FOLDER"]), int(os.environ["SUPERVISE_PROCESSES"])
    ended: dict[str, ExitCode] = {}
    for event, body in _changes():
        process = body["processname"]
        ended.pop(process, None)
        if event == "PROCESS_STATE_FATAL":
            ended[process] = ExitCode.FAILED
        elif body.get("expected") == "1":
            ended[process] = ExitCode.CONFIG
        if len(ended) == processes:
            (folder / GAVE_UP).write_text(str(min(ended.values())))
            os.kill(os.getppid(), signal.SIGTERM)


def _changes() -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (event, its body); each is acknowledged when the next is asked for."""
    while True:
        _say("READY\n")
        line = sys.stdin.readline()
        if not line:
            return
        head = _tokens(line)
        yield head["eventname"], _tokens(sys.stdin.read(int(head["len"])))
        _say("RESULT 2\nOK")


def _tokens(text: str) -> dict[str, str]:
    return dict(token.split(":", 1) for token in text.split())


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
