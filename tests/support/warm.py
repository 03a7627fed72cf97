"""Commands forked off a process that has imported `hopmail` already.

To import it takes longer than most commands do, and the tests run about a thousand. Each is still
a process of its own, with its own environment, folder, streams and end.
"""

import atexit
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]
MOST_BYTES = 1 << 17

_one_at_a_time = threading.Lock()
_warm: "list[_Warm]" = []


class _Warm:
    """The process that others are forked off, one at a time."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-m", "tests.support.warm", str(theirs.fileno())]
            self._process = subprocess.Popen(command, cwd=ROOT, pass_fds=(theirs.fileno(),))
        atexit.register(self._end)

    def run(self, request: bytes, streams: Sequence[IO[bytes]], seconds: float) -> int | None:
        """Run one to its end; return its exit code, None where it had to be killed."""
        socket.send_fds(self._channel, [request], [stream.fileno() for stream in streams])
        pid = int(self._channel.recv(100))
        self._channel.settimeout(seconds)
        try:
            return int(self._channel.recv(100))
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            self._channel.settimeout(None)
            self._channel.recv(100)
            return None
        finally:
            self._channel.settimeout(None)

    def _end(self) -> None:
        self._channel.close()
        self._process.wait()


def run_warm(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    streams: Sequence[IO[bytes]],
    seconds: float,
) -> int | None:
    """Run `hopmail` on stdin, stdout and stderr; return its exit code.

    None where another one runs just now, and nothing was done. Raises TimeoutExpired.
    """
    request = json.dumps({"arguments": list(arguments), "environment": dict(environment)}).encode()
    if len(request) > MOST_BYTES or not _one_at_a_time.acquire(blocking=False):
        return None
    try:
        if not _warm:
            _warm.append(_Warm())
        code = _warm[0].run(request, streams, seconds)
    finally:
        _one_at_a_time.release()
    if code is None:
        raise subprocess.TimeoutExpired(list(arguments), seconds)
    return code


def _serve(channel: socket.socket) -> dict[str, Any] | None:
    """Fork for each request; return it in the child, and None in the parent once nobody asks."""
    while True:
        data, streams, _flags, _address = socket.recv_fds(channel, MOST_BYTES, 3)
        if not data:
            return None
        child = os.fork()
        if not child:
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            channel.close()
            return dict(json.loads(data))
        for stream in streams:
            os.close(stream)
        channel.send(str(child).encode())
        _pid, status = os.waitpid(child, 0)
        with suppress(BrokenPipeError):
            channel.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(request: Mapping[str, Any]) -> None:
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    sys.argv = ["hopmail", *request["arguments"]]


if __name__ == "__main__":
    import consumer.cli.app  # noqa: F401 - so that those forked off need not
    from consumer.__main__ import main

    # A fork that looks through all of them, as it ends, would copy their pages.
    gc.freeze()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request := _serve(socket.socket(fileno=int(sys.argv[1]))):
        _become(request)
        main()
