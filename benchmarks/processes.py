"""The contenders' processes: how they are run, and what Linux says they used (proc(5))."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from benchmarks.failed import BenchmarkFailed
from dev.processes import kill_group, unhurried

ROOT: Final = Path(__file__).parents[1]
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
STOP_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 0.02
RUN_SECONDS: Final = 300.0
TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
KIBIBYTES: Final = 1024
LAST_CHARACTERS: Final = 2000


@contextmanager
def child(
    command: Sequence[str], environment: Mapping[str, str] = NOTHING, **streams: Any
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program for the length of a block, and what it started; `streams` are Popen's."""
    process = None
    try:
        with unhurried():
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | environment,
                # A Ctrl-C is for us; we stop them in our order.
                start_new_session=True,
                **{"stdin": subprocess.DEVNULL, **streams},
            )
        yield process
    finally:
        if process is not None:
            with unhurried():
                _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        while not _has_ended(process.pid) and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        kill_group(process)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def _has_ended(pid: int) -> bool:
    # Not reaped: until then nobody else's group can have its number.
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


@contextmanager
def running(
    command: Sequence[str], log: Path, environment: Mapping[str, str] = NOTHING
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program for the length of a block; its output goes to `log`."""
    with (
        log.open("wb") as output,
        child(command, environment, stdout=output, stderr=subprocess.STDOUT) as process,
    ):
        yield process


@contextmanager
def server(module: str, *arguments: object) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """Run a module of ours that prints its port and serves there, for the length of a block."""
    command = python(module, *arguments)
    with child(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if process.stdout is None or not (line := process.stdout.readline()):
            raise BenchmarkFailed(f"{module} did not start")
        yield process, int(line)


def answer_of(module: str, *arguments: object, environment: Mapping[str, str] = NOTHING) -> Any:
    """Run a module of ours to its end and return the JSON it printed. Raises BenchmarkFailed."""
    try:
        done = subprocess.run(
            python(module, *arguments),
            cwd=ROOT,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkFailed(f"{module} {arguments}: not within {RUN_SECONDS:.0f} s") from None
    if done.returncode:
        raise BenchmarkFailed(f"{module} {arguments}: {done.stderr[-LAST_CHARACTERS:]}")
    return json.loads(done.stdout)


def python(module: str, *arguments: object) -> list[str]:
    """Return the command that runs a module with these arguments."""
    return [sys.executable, "-m", module, *map(str, arguments)]


def family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, children.read_text().split())
    return found


def arguments_of(pid: int) -> list[str]:
    """Return the command line of a process; empty where it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    return []


def cpu_seconds(pids: Sequence[int]) -> float:
    """Return the CPU time that processes have used, those that have ended left out."""
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS_PER_SECOND


def let_roam(pids: Sequence[int]) -> None:
    """Let every thread of these processes run on all CPUs that we may use (taskset -a -p)."""
    allowed = os.sched_getaffinity(0)
    # Again, because a thread that begins meanwhile has the CPUs of the one that began it.
    while bound := [thread for thread, cpus in _affinities(pids) if cpus != allowed]:
        for thread in bound:
            with suppress(ProcessLookupError):
                os.sched_setaffinity(thread, allowed)


def may_roam(pids: Sequence[int]) -> bool:
    """Whether every thread of these processes may run on all CPUs that we may use."""
    return all(cpus == os.sched_getaffinity(0) for _, cpus in _affinities(pids))


def _affinities(pids: Sequence[int]) -> Iterator[tuple[int, set[int]]]:
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").glob("*"):
            # It may have ended.
            with suppress(ProcessLookupError):
                yield int(thread.name), os.sched_getaffinity(int(thread.name))


def peak_rss_bytes(pid: int) -> int:
    """Return the largest resident set size a process ever had."""
    return _memory_bytes(pid, "VmHWM")


def rss_bytes(pid: int) -> int:
    """Return the resident set size of a process."""
    return _memory_bytes(pid, "VmRSS")


def _memory_bytes(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * KIBIBYTES
