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


@record
class Look:
    """How long, in seconds and in ticks, this process and each CPU have worked until a moment."""

    seconds: float
    own_seconds: float
    busy_ticks: Mapping[int, int]
    all_ticks: Mapping[int, int]


class OneCPU:
    """The CPU that all threads of this process run on; another one, once others crowd it.

    Threads on several CPUs hand Python's lock over from one to the other, which costs more than
    they gain; what uses more CPUs is more processes, which begin on different ones by their
    `number`. Whoever sets the affinity from outside (taskset) has the last word.
    """

    def __init__(self, number: int) -> None:
        self._allowed = os.sched_getaffinity(0)
        self._last = _look()
        self._looks = 0
        # The processes of each container count from 0; their host names differ.
        first = zlib.crc32(socket.gethostname().encode()) + number
        self.cpu = sorted(self._allowed)[first % len(self._allowed)]
        if self._allowed <= self._last.busy_ticks.keys():
            self._move_to(self.cpu)

    def keep(self) -> None:
        """Move to a CPU with more room, if there is one. To be called about each second."""
        if os.sched_getaffinity(0) != {self.cpu} or len(self._allowed) == 1:
            return
        look = _look()
        if look.seconds - self._last.seconds < SHORTEST_LOOK_SECONDS:
            return
        better = roomier(self.cpu, self._allowed, self._last, look)
        self._last = look
        self._looks = 0 if better is None else self._looks + 1
        # A coin: of two that crowd each other one is to stay.
        if better is not None and self._looks >= LOOKS and random.random() < 0.5:  # noqa: S311, PLR2004
            self._looks = 0
            self._move_to(better)

    def _move_to(self, cpu: int) -> None:
        self.cpu = cpu
        for thread in THREADS.iterdir():
            # It has ended, or the CPU is no longer there: then the kernel has chosen others.
            with suppress(OSError):
                os.sched_setaffinity(int(thread.name), {cpu})


def roomier(cpu: int, allowed: set[int], before: Look, after: Look) -> int | None:
    """Return the CPU on which others use so much less than on `cpu` that it is worth a move."""
    seconds = after.seconds - before.seconds
    busy = {
        each: (after.busy_ticks[each] - before.busy_ticks[each])
        / max(1, after.all_ticks[each] - before.all_ticks[each])
        for each in allowed & before.busy_ticks.keys() & after.busy_ticks.keys()
    }
    if cpu not in busy:
        return None
    others = busy[cpu] - (after.own_seconds - before.own_seconds) / seconds
    best = min(busy, key=lambda each: busy[each])
    return best if best != cpu and others - busy[best] > LEAST_GAIN else None


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
