"""A process on a CPU that others seem to crowd: says when all its threads have moved, and are back.

What others use is told by a file in the place of /proc/stat, so that it does not hang on who else
is busy here; its own work and its affinity are real.
"""

import os
import sys
import threading
import time
from pathlib import Path

from consumer.ops import one_cpu

LOOK_SECONDS = 0.6
CPUS = sorted(os.sched_getaffinity(0))


def main(stat: Path) -> None:
    """Work for half of the time until a move, then be idle until the return."""
    one_cpu.STAT = stat  # type: ignore[misc]
    tell(stat, 0, crowded=-1)
    kept = one_cpu.OneCPU(0)
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    (home,) = everywhere()
    looks = 0
    while everywhere() == {home}:
        looks += 1
        work(LOOK_SECONDS / 2)
        time.sleep(LOOK_SECONDS / 2)
        tell(stat, looks, crowded=home)
        kept.keep()
    sys.stdout.write("moved\n" if len(everywhere()) == 1 else "torn\n")
    while everywhere() != {home}:
        looks += 1
        time.sleep(LOOK_SECONDS)
        tell(stat, looks, crowded=home)
        kept.keep()
    sys.stdout.write("back\n")


def tell(stat: Path, looks: int, *, crowded: int) -> None:
    """Write that one CPU was busy since the first look, and the others idle."""
    busy = {cpu: 100 * looks if cpu == crowded else 0 for cpu in CPUS}
    lines = [f"cpu{cpu} {ticks} 0 0 {100 * looks - ticks} 0 0 0 0" for cpu, ticks in busy.items()]
    stat.write_text("\n".join(lines))


def work(seconds: float) -> None:
    """Use the CPU for so long, whatever else runs on it."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def everywhere() -> set[int]:
    """Return the CPUs on which any thread of this process may run."""
    return set().union(
        *(os.sched_getaffinity(int(each.name)) for each in Path("/proc/self/task").iterdir())
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
