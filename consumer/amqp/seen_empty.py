"""When each queue was last seen to be empty, kept over restarts in a small file."""

import json
from collections.abc import Mapping
from pathlib import Path


class SeenEmpty:
    """The file. What it says holds for one broker, which `broker` names.

    A file that is lost, damaged or of another broker says nothing.
    """

    def __init__(self, path: Path, broker: str) -> None:
        self._path = path
        self._broker = broker

    def read(self) -> dict[str, float]:
        """Return the moment, in Unix time, by the queue's name."""
        try:
            found = json.loads(self._path.read_bytes())
            moments = found["seen_empty"] if found["broker"] == self._broker else {}
            return {str(queue): float(moment) for queue, moment in moments.items()}
        except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return {}

    def write(self, moments: Mapping[str, float]) -> None:
        """Replace the file, in one step for whoever reads it. Raises OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_suffix(".tmp")
        beside.write_text(json.dumps({"broker": self._broker, "seen_empty": dict(moments)}))
        beside.replace(self._path)
