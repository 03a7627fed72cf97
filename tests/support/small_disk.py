"""A small disk of a test's own; mounting it needs root."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def small_disk(place: Path, kibibytes: int) -> Iterator[Path]:
    """Mount a file system of this size at `place`, which is made, for the length of a block."""
    place.mkdir()
    options = ("-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs")
    subprocess.run(["mount", *options, place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)
