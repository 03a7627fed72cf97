"""Who is whose child among the processes of this machine."""

import re
from pathlib import Path

PARENT = re.compile(r"^PPid:\t(\d+)$", re.MULTILINE)


def living() -> dict[int, int]:
    """Return each process that lives, and its parent."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            status = (entry / "status").read_text()
        except OSError:
            continue
        parent = PARENT.search(status)
        if parent and "\nState:\tZ" not in status:
            found[int(entry.name)] = int(parent[1])
    return found


def descendants(pid: int) -> set[int]:
    """Return the processes below `pid`."""
    children = {child for child, parent in living().items() if parent == pid}
    return children.union(*map(descendants, children))
