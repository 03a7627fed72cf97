"""Where the benchmarks run: the broker, the sink, a folder, and whether it is only a trial."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.sink import Sink
from consumer.settings.model import Settings
from consumer.settings.read import read_ladder
from tests.support.broker import Broker, VirtualHost

LADDER: Final = str(Settings.model_fields["retry_delays"].default)


@dataclass(frozen=True)
class Place:
    """What every part is given. `is_quick`: few mails and rounds, to see that all of it works."""

    broker: Broker
    sink: Sink
    folder: Path
    is_quick: bool = False

    def pick(self, full: int, quick: int) -> int:
        """Return how many there are to be."""
        return quick if self.is_quick else full

    def rounds(self, full: int) -> range:
        """Return the numbers of the rounds, from 1."""
        return range(1, self.pick(full, 1) + 1)

    @contextmanager
    def vhost(self) -> Iterator[VirtualHost]:
        """Make a virtual host with Hopmail's queues, for the length of a block."""
        made = VirtualHost(self.broker, f"bench{uuid.uuid4().hex[:8]}")
        made.create()
        try:
            made.declare_topology(read_ladder(LADDER))
            yield made
        finally:
            made.delete()

    @contextmanager
    def work_folder(self) -> Iterator[Path]:
        """Make an empty folder, for the length of a block."""
        made = Path(tempfile.mkdtemp(dir=self.folder))
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)
