"""What the soak saw: samples in a file, and the section of the page made of them."""

import json
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pika.exceptions import AMQPError

from tests.faults.count import Count
from tests.faults.crew import Crew
from tests.faults.results import LINES, SOAK, commit
from tests.faults.scene import Scene
from tests.faults.soak_faults import LASTING
from tests.support.consumer_process import state_folder

SAMPLES: Final = LINES.parent / "soak.jsonl"
MEBIBYTE: Final = 1024 * 1024
MAX_GROWTH_MEBIBYTES: Final = 32.0
"""Of the lasting consumer's memory, from the second quarter of the time to the last."""

BARS: Final = "▁▂▃▄▅▆▇█"
CURVE_WIDTH: Final = 60


@dataclass
class Samples:
    """Memory, ledger and queues, moment by moment; each is written down as it is taken."""

    scene: Scene
    crew: Crew
    all: list[dict[str, Any]] = field(default_factory=list)
    _started_seconds: float = field(default_factory=time.monotonic)

    def take(self, published: int) -> dict[str, Any]:
        """Take one, write it down, and return it."""
        sample = {
            "seconds": round(time.monotonic() - self._started_seconds),
            "published": published,
            "accepted": len(self.scene.sink.taken),
            "rss_mebibytes": [_rss_mebibytes(pid) for pid in self.crew.pids],
            "ledger_mebibytes": self._ledger_mebibytes(),
            "waiting": self._waiting(),
        }
        self.all.append(sample)
        with SAMPLES.open("a") as file:
            file.write(json.dumps(sample) + "\n")
        return sample

    @property
    def memory(self) -> list[float]:
        """The lasting consumer's memory, in MiB."""
        return [found for each in self.all if (found := each["rss_mebibytes"][LASTING])]

    @property
    def growth_mebibytes(self) -> float:
        """By how much its memory grew from the second quarter of the time to the last."""
        quarter = len(self.memory) // 4
        if not quarter:
            return 0.0
        before, after = self.memory[quarter : 2 * quarter], self.memory[-quarter:]
        return statistics.median(after) - statistics.median(before)

    def _ledger_mebibytes(self) -> float:
        files = state_folder(self.scene.vhost.url).glob("ledger.sqlite3*")
        return round(sum(path.stat().st_size for path in files if path.is_file()) / MEBIBYTE, 2)

    def _waiting(self) -> dict[str, int] | None:
        # None while the broker is away.
        with suppress(AMQPError, OSError):
            return self.scene.left()
        return None


def _rss_mebibytes(pid: int) -> float | None:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return round(int(line.split()[1]) / 1024, 1)
    return None


def curve(values: Sequence[float]) -> str:
    """Return a line of bars, from 0 to the largest value, at most `CURVE_WIDTH` of them."""
    width = min(CURVE_WIDTH, len(values))
    parts = [
        values[at * len(values) // width : (at + 1) * len(values) // width] for at in range(width)
    ]
    most = max(values, default=0) or 1
    return "".join(BARS[round(statistics.mean(part) / most * (len(BARS) - 1))] for part in parts)


def section(
    minutes: float, count: Count, broken: Sequence[str], faults: Mapping[str, int], samples: Samples
) -> str:
    """Return the section of the page."""
    memory = samples.memory
    ledger = [each["ledger_mebibytes"] for each in samples.all]
    waiting = [sum(each["waiting"].values()) for each in samples.all if each["waiting"]]
    played = ", ".join(f"{name} {times}" for name, times in sorted(faults.items()))
    counted = ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in count.figures().items()
    )
    return "\n".join(
        (
            f"{SOAK}\n",
            (
                f"On {datetime.now(UTC):%Y-%m-%d}{commit()}: {minutes:g} minutes of mixed load, two"
                f" consumers, and a fault every 20 s, {sum(faults.values())} in all: {played}.\n"
            ),
            (
                f"Counted as above: {counted}. A part of the load has recipients whom the relay"
                " refuses: they are dead.\n"
            ),
            (
                f"Longest time from a fault to the next mail taken: {_recovery(samples.scene)};"
                f" most mails waiting in the queues: {max(waiting, default=0)}."
                f" Result: **{'; '.join(broken) or 'held'}**.\n"
            ),
            "The memory of the consumer that is never ended, and the size of the ledger, from 0:\n",
            "```",
            f"memory {curve(memory)} {max(memory, default=0):.0f} MiB at most",
            f"ledger {curve(ledger)} {max(ledger, default=0):.1f} MiB at most",
            "```\n",
            (
                "From the second quarter of the time to the last that memory grew by"
                f" {samples.growth_mebibytes:.1f} MiB.\n"
            ),
        )
    )


def _recovery(scene: Scene) -> str:
    seconds = scene.recovery_seconds()
    return "none was taken" if seconds is None else f"{seconds:.1f} s"
