"""A program that logs numbered lines to an archive, and says of each once it is logged.

writer.py FOLDER WORKER MAX_BYTES NAME FIRST COUNT: lines `NAME` with numbers from FIRST on. With
READS_TO_MIDNIGHT in the environment its clock strikes midnight (UTC) once it was read so often.
"""

import itertools
import logging
import os
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

from consumer.ops import logs
from consumer.ops.archive import Archive

KEEP = timedelta(days=14)
THREADS = 2
DAY_NS = 86_400_000_000_000
READ_NS = 10_000
"""By which each look at the clock has it go on, however fast the machine is."""


def run_towards_midnight(reads: int) -> None:
    """Have another clock."""
    midnight_ns = (time.time_ns() // DAY_NS + 1) * DAY_NS
    ticks = itertools.count(midnight_ns - reads * READ_NS, READ_NS)
    time.time_ns = lambda: next(ticks)
    time.time = lambda: time.time_ns() / 1e9


def main() -> None:
    """Log them from two threads, tending the archive all the while."""
    folder, worker, max_bytes, name, first, count = sys.argv[1:]
    if "READS_TO_MIDNIGHT" in os.environ:
        run_towards_midnight(int(os.environ["READS_TO_MIDNIGHT"]))
    archive = Archive(Path(folder), worker, int(max_bytes), KEEP)
    archive.open()
    logs.configure("INFO", "json", int(worker), archive, to_stdout=False)
    log, done = logging.getLogger("writer"), threading.Event()

    def tend() -> None:
        while not done.wait(0.01):
            archive.tend()

    def write(thread: int) -> None:
        for number in range(int(first) + thread, int(first) + int(count), THREADS):
            log.info(name, extra={"number": number, "filler": "x" * (number % 300)})
            sys.stdout.write(f"{number}\n")

    tender = threading.Thread(target=tend)
    writers = [threading.Thread(target=write, args=(number,)) for number in range(THREADS)]
    for thread in (tender, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    tender.join()


if __name__ == "__main__":
    main()
