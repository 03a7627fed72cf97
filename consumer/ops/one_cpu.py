"""Keeps this process on one CPU at a time: its threads cannot run Python on two at once anyway."""

import os
import random
import socket
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from consumer.core.record import record

STAT: Final = Path("/proc/stat")
THREADS: Final = Path("/proc/self/task")

COUNTED: Final = 8
"""Columns of a CPU's line up to "steal"; those after it are contained in others (proc(5))."""

IDLE: Final = slice(3, 5)
"""The columns "idle" and "iowait"."""

SHORTEST_LOOK_SECONDS: Final = 0.5
LOOKS: Final = 2
LEAST_GAIN: Final = 0.15
"""What others use of our CPU beyond what is used of another: less is not worth a move."""

IDLE_SHARE: Final = 0.1
"""Who uses less of a CPU is hindered by nobody, and gains nothing elsewhere."""

HOME_AGAIN_SECONDS: Final = 60.0
"""Until a process tries its own CPU once more, from which others drove it."""


@record
class Look:
    """How long, in seconds and in ticks, this process and each CPU have worked until a moment."""

    seconds: float
    own_seconds: float
    busy_ticks: Mapping[int, int]
    all_ticks: Mapping[int, int]


class OneCPU:
    """The CPU that all threads of this process run on; another one while others crowd it there.

    Threads on several CPUs hand Python's lock over from one to the other, which costs more than
    they gain; what uses more CPUs is more processes, whose own CPUs differ by their `number`. An
    idle process goes back to its own. Whoever sets the affinity from outside (taskset) has the last
    word.
    """

    def __init__(self, number: int) -> None:
        self._allowed = os.sched_getaffinity(0)
        self._last = _look()
        # The processes of each container count from 0; their host names differ.
        first = zlib.crc32(socket.gethostname().encode()) + number
        self._home = sorted(self._allowed)[first % len(self._allowed)]
        self._cpu = self._home
        self._since_seconds = self._last.seconds
        self._looks = 0
        if self._allowed <= self._last.busy_ticks.keys():
            self._move_to(self._home)

    def keep(self) -> None:
        """Move to a CPU with more room, or back, where that helps. To be called each second."""
        if os.sched_getaffinity(0) != {self._cpu} or len(self._allowed) == 1:
            return
        before, now = self._last, _look()
        if now.seconds - before.seconds < SHORTEST_LOOK_SECONDS:
            return
        self._last = now
        if self._cpu != self._home and is_to_return(self._since_seconds, before, now):
            self._move_to(self._home)
        else:
            self._make_room(roomier(self._cpu, self._allowed, before, now))

    def _make_room(self, better: int | None) -> None:
        self._looks = 0 if better is None else self._looks + 1
        # A coin: of two that crowd each other one is to stay.
        if better is not None and self._looks >= LOOKS and random.random() < 0.5:  # noqa: S311, PLR2004
            self._move_to(better)

    def _move_to(self, cpu: int) -> None:
        self._cpu = cpu
        self._since_seconds = self._last.seconds
        self._looks = 0
        for thread in THREADS.iterdir():
            # It has ended, or the CPU is no longer there: then the kernel has chosen others.
            with suppress(OSError):
                os.sched_setaffinity(int(thread.name), {cpu})


def is_to_return(left_seconds: float, before: Look, after: Look) -> bool:
    """Return whether a process that left its own CPU at a moment goes back there."""
    return _share(before, after) < IDLE_SHARE or after.seconds - left_seconds > HOME_AGAIN_SECONDS


def roomier(cpu: int, allowed: set[int], before: Look, after: Look) -> int | None:
    """Return the CPU of which so much less is used than of `cpu` by others that a move is worth it.

    None is better for a process that is idle itself: it would gather with others, and they with it
    once there is work.
    """
    busy = {
        each: (after.busy_ticks[each] - before.busy_ticks[each])
        / max(1, after.all_ticks[each] - before.all_ticks[each])
        for each in allowed & before.busy_ticks.keys() & after.busy_ticks.keys()
    }
    own = _share(before, after)
    if cpu not in busy or own < IDLE_SHARE:
        return None
    others = busy[cpu] - own
    best = min(busy, key=lambda each: busy[each])
    return best if best != cpu and others - busy[best] > LEAST_GAIN else None


def _share(before: Look, after: Look) -> float:
    return (after.own_seconds - before.own_seconds) / (after.seconds - before.seconds)


def _look() -> Look:
    busy: dict[int, int] = {}
    total: dict[int, int] = {}
    with suppress(OSError):
        for line in STAT.read_text().splitlines():
            name, *columns = line.split()
            if name.startswith("cpu") and name != "cpu":
                ticks = [int(column) for column in columns[:COUNTED]]
                cpu = int(name.removeprefix("cpu"))
                total[cpu] = sum(ticks)
                busy[cpu] = total[cpu] - sum(ticks[IDLE])
    return Look(time.monotonic(), time.process_time(), busy, total)
