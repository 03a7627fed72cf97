"""An hour of mixed load with a fault every 20 s, counted at the end as each case is.

`python -m tests.faults.soak --minutes 60 [--per-second 30] [--seed N]`: writes its samples to
.state/soak.jsonl and its section to docs/fault-results.md; exits with 1 if anything broke.
"""

import argparse
import random
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Final

from dev.broker import Node, private_node
from tests.faults.count import Count
from tests.faults.results import PAGE, SEED, Case, with_soak
from tests.faults.scene import Scene
from tests.faults.sink import counting_sink
from tests.faults.soak_faults import Faults
from tests.faults.soak_load import Load
from tests.faults.soak_report import MAX_GROWTH_MEBIBYTES, SAMPLES, Samples, section
from tests.support.broker import Broker, VirtualHost

FAULT_SECONDS: Final = 20.0
SAMPLE_SECONDS: Final = 10.0
PROGRESS_SECONDS: Final = 60.0
DRAIN_SECONDS: Final = 300.0
LADDER_SECONDS: Final = (1, 2, 5, 10, 20)
IMPATIENT: Final = "&timeout=2"
"""Seconds for a reply, five times as many for that to the final dot."""


class Soak:
    """The course of it: what is due at which moment."""

    def __init__(self, faults: Faults, load: Load, samples: Samples) -> None:
        self._faults = faults
        self._load = load
        self._samples = samples
        self._last = ""

    def run(self, seconds: float) -> None:
        """Play faults, take samples and tell of it for this long."""
        started = time.monotonic()
        due = {self._fault: FAULT_SECONDS, self._sample: 0.0, self._tell: 0.0}
        every = {self._fault: FAULT_SECONDS, self._sample: SAMPLE_SECONDS}
        while (passed := time.monotonic() - started) < seconds:
            for act in [act for act, moment in due.items() if moment <= passed]:
                act()
                due[act] = max(due[act] + every.get(act, PROGRESS_SECONDS), passed)
            time.sleep(0.2)
        self._sample()
        self._tell()

    def _fault(self) -> None:
        self._last = self._faults.play_one()

    def _sample(self) -> None:
        self._samples.take(self._load.published)

    def _tell(self) -> None:
        sample = self._samples.all[-1] if self._samples.all else {}
        shown = ", ".join(f"{name} {value}" for name, value in sample.items() if name != "waiting")
        waiting = sum((sample.get("waiting") or {}).values())
        faults = sum(self._faults.times.values())
        print(f"{shown}, waiting {waiting}, faults {faults} ({self._last})", flush=True)  # noqa: T201 - for whom it runs


def play(node: Node, folder: Path, options: argparse.Namespace) -> bool:
    """Run the soak on a node of its own; return whether every invariant held."""
    vhost = VirtualHost(Broker(node.url, node.management_url), f"soak{uuid.uuid4().hex[:8]}")
    vhost.create()
    with counting_sink() as sink:
        scene = Scene(Case(0, "soak", "soak"), vhost, sink, folder, node)
        scene.random = random.Random(options.seed)  # noqa: S311 - a schedule of faults, no secret
        scene.use_ladder(*LADDER_SECONDS)
        scene.relay_url += IMPATIENT
        load = Load(vhost, scene.attempts, options.per_second, options.seed)
        with scene.consumers(2) as crew:
            faults, samples = Faults(scene, crew, node), Samples(scene, crew)
            with load.running():
                Soak(faults, load, samples).run(options.minutes * 60)
            count = scene.settle(DRAIN_SECONDS)
        scene.attempts.close()
    broken = found_broken(count, samples)
    text = section(options.minutes, count, broken, faults.times, samples)
    PAGE.write_text(with_soak(PAGE.read_text() if PAGE.exists() else "", text))
    print(text)  # noqa: T201 - as above
    return not broken


def found_broken(count: Count, samples: Samples) -> list[str]:
    """Return what did not hold, each as a sentence."""
    growth = samples.growth_mebibytes
    is_growing = growth > MAX_GROWTH_MEBIBYTES
    return [*count.broken, *([f"memory grew by {growth:.0f} MiB"] if is_growing else [])]


def main() -> None:
    """Run it as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--per-second", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    SAMPLES.parent.mkdir(exist_ok=True)
    SAMPLES.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder, private_node(management=True) as node:
        sys.exit(not play(node, Path(folder), options))


if __name__ == "__main__":
    main()
