"""The figures of one process, in a file of its own that node_exporter serves."""

import logging
import platform
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Metric, ProcessCollector
from prometheus_client.exposition import generate_latest

from consumer.core.handled import Followup, Handled
from consumer.ops.figures import Figures
from consumer.ops.metrics_files import path_of, sweep_forgotten
from consumer.ops.own_file import OwnFile, Taken
from consumer.ops.relay_figures import RelayFigures
from publisher_lib.routing import Lane

log = logging.getLogger(__name__)

WRITE_SECONDS: Final = 5.0
"""Between writes: three to a usual scrape of 15 s."""

SWEEP_SECONDS: Final = 60.0

LAST_WRITE_SECONDS: Final = 1.0

TAKEN: Final = "another process has this number; give each of a host its own HOPMAIL_WORKER"


class Metrics:
    """Counts what is handled; between `start` and `remove`, in the file too.

    `relays` and `delays` are those that the settings name. A file that cannot be written is logged
    and counted, one that another process writes is logged and left until that has ended; mail goes
    on.
    """

    def __init__(
        self,
        directory: Path,
        worker: int,
        *,
        processes: int = 1,
        relays: Iterable[str] = (),
        delays: Iterable[str] = (),
    ) -> None:
        self._path = path_of(directory, worker)
        self._file = OwnFile(self._path)
        self._registry = _Labelled(f"{socket.gethostname()}-{worker}")
        Gauge(
            "hopmail_processes", "Workers that this host is to have.", registry=self._registry
        ).set(processes)
        self._figures = Figures(self._registry, delays)
        self._relay_figures = RelayFigures(self._registry, relays)
        self._heartbeat = Gauge(
            "hopmail_heartbeat_timestamp_seconds",
            "When the daemon's main loop last turned.",
            registry=self._registry,
        )
        self._ledger_in_trouble = Gauge(
            "hopmail_ledger_in_trouble",
            "1 while the ledger cannot be opened or written: nothing is consumed.",
            registry=self._registry,
        )
        self._write_failures = Counter(
            "hopmail_metrics_write_failures", "Failed writes of this file.", registry=self._registry
        )
        self._told: str | None = None
        _describe_build(self._registry)
        ProcessCollector(namespace="hopmail", registry=self._registry)
        self._stop = threading.Event()
        self._writer = threading.Thread(target=self._write_often, name="metrics", daemon=True)

    def watch(
        self, *, is_connected: Callable[[], bool], is_ledger_in_trouble: Callable[[], bool]
    ) -> None:
        """Have the state of broker and ledger read at each write."""
        Gauge(
            "hopmail_broker_connected", "1 while deliveries can come in.", registry=self._registry
        ).set_function(is_connected)
        self._ledger_in_trouble.set_function(is_ledger_in_trouble)

    def ledger_unopened(self) -> None:
        """Show the ledger in trouble until it is watched."""
        self._ledger_in_trouble.set(1)

    @property
    def registry(self) -> CollectorRegistry:
        """Where whoever has more figures for the file puts them."""
        return self._registry

    def start(self) -> None:
        """Write the file now, and from now on."""
        self.heartbeat()
        self._writer.start()

    def record(self, *records: Handled) -> None:
        """Count settled deliveries; many at once cost less than one by one. Thread-safe."""
        self._figures.record(*records)
        for handled in records:
            for transaction in handled.transactions:
                self._relay_figures.record(transaction)

    def copied(self, lane: Lane, copy: Followup) -> None:
        """Count a copy that took the place of a delivery that was not handled. Thread-safe."""
        self._figures.copied(lane, copy)

    def heartbeat(self) -> None:
        """Note that the daemon's main loop turns."""
        self._heartbeat.set_to_current_time()

    def write(self) -> None:
        """Write the file anew."""
        try:
            self._file.write(generate_latest(self._registry))
        except Taken:
            self._tell("metrics left to another process", TAKEN)
        except Exception as error:  # noqa: BLE001 - mail goes on, whatever becomes of its figures
            self._write_failures.inc()
            self._tell(
                "metrics not written", getattr(error, "strerror", None) or type(error).__name__
            )
        else:
            self._told = None

    def remove(self) -> None:
        """Stop writing and remove the file: a worker that ended well leaves no figures behind."""
        self._stop.set()
        if self._writer.is_alive():
            self._writer.join(LAST_WRITE_SECONDS)
        self._file.remove()

    def _write_often(self) -> None:
        sweep_again_seconds = 0.0
        while not self._stop.is_set():
            self.write()
            if time.monotonic() >= sweep_again_seconds:
                sweep_forgotten(self._path.parent)
                sweep_again_seconds = time.monotonic() + SWEEP_SECONDS
            self._stop.wait(WRITE_SECONDS)

    def _tell(self, event: str, detail: str) -> None:
        if event != self._told:
            log.warning(event, extra={"path": str(self._path), "detail": detail})
        self._told = event


class _Labelled(CollectorRegistry):
    """Puts the worker on every sample.

    node_exporter serves the files of all workers as one page, where of two equal series one is
    dropped without a word. `_created` would be a gauge for each counter that nobody reads.
    """

    def __init__(self, worker: str) -> None:
        super().__init__()
        self._worker = worker

    def collect(self) -> Iterator[Metric]:
        for metric in super().collect():
            metric.samples = [
                sample._replace(labels={**sample.labels, "worker": self._worker})
                for sample in metric.samples
                if not sample.name.endswith("_created")
            ]
            yield metric


def _describe_build(registry: CollectorRegistry) -> None:
    try:
        ours = version("hopmail")
    except PackageNotFoundError:
        ours = "unreleased"
    build = Gauge(
        "hopmail_build_info", "Always 1; what runs here.", ("version", "python"), registry=registry
    )
    build.labels(ours, platform.python_version()).set(1)
