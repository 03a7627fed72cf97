"""What the workers of this host wrote for node_exporter, read back for `hopmail status`."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from consumer.core.outcome import Stage
from consumer.core.status import WorkerSeen
from consumer.core.trouble import Trouble
from consumer.ops.locks import is_held
from consumer.ops.metrics_files import LOCK
from publisher_lib.routing import Lane

FILES: Final = "hopmail-*.prom"


class WorkerFile:
    """The figures in one worker's file, by name and by the value of their one telling label."""

    def __init__(self, page: str, path: Path) -> None:
        self._path = path
        self._samples: dict[str, list[Sample]] = {}
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                self._samples.setdefault(sample.name, []).append(sample)

    @property
    def worker(self) -> str:
        """The name of who wrote it: its host and number."""
        return self._samples["hopmail_heartbeat_timestamp_seconds"][0].labels["worker"]

    @property
    def is_held(self) -> bool:
        """Whether the process that writes it lives, though it may hang."""
        return is_held(self._path.with_suffix(LOCK))

    def samples(self, name: str) -> Sequence[Sample]:
        """Return all series of a figure."""
        return self._samples.get(name, ())

    def figure(self, name: str) -> float:
        """Return a figure, the sum of all its series; 0 where there is none."""
        return sum(sample.value for sample in self.samples(name))

    def by(self, label: str, name: str) -> dict[str, float]:
        """Return a figure by one of its labels, without those that are 0."""
        found: dict[str, float] = {}
        for sample in self.samples(name):
            key = sample.labels[label]
            found[key] = found.get(key, 0.0) + sample.value
        return {key: value for key, value in found.items() if value}

    def moments(self, label: str, name: str) -> dict[str, datetime]:
        """Return moments by a label, without those that never were or are not known (NaN)."""
        return {key: _moment(value) for key, value in self.by(label, name).items() if value > 0}


def read_files(folder: Path) -> tuple[WorkerFile, ...]:
    """Return what the workers wrote last; a file that cannot be understood is as one not there.

    Raises OSError where the folder cannot be read.
    """
    return tuple(_read_files(sorted(path for path in folder.iterdir() if path.match(FILES))))


def _read_files(paths: list[Path]) -> Iterator[WorkerFile]:
    for path in paths:
        # It may be removed meanwhile, by a worker that stops, or be another version's.
        with suppress(OSError, ValueError, LookupError, OverflowError):
            file = WorkerFile(path.read_text(encoding="utf-8"), path)
            if file.figure("hopmail_heartbeat_timestamp_seconds"):
                seen(file)
                oldest_by_queue([file])
                yield file


def seen(file: WorkerFile) -> WorkerSeen:
    """Return a worker as its figures show it."""
    return WorkerSeen(
        name=file.worker,
        wanted=int(file.figure("hopmail_processes")),
        heartbeat=_moment(file.figure("hopmail_heartbeat_timestamp_seconds")),
        started=_moment(file.figure("hopmail_process_start_time_seconds")),
        is_connected=file.figure("hopmail_broker_connected") > 0,
        is_ledger_in_trouble=file.figure("hopmail_ledger_in_trouble") > 0,
        holds=tuple(file.by("by", "hopmail_consuming_held")),
        relays_in_trouble=tuple(file.by("relay", "hopmail_breaker_open")),
        troubles=_troubles(file),
        sessions=_whole(file.by("relay", "hopmail_sessions_open")),
        in_flight=int(file.figure("hopmail_in_flight")),
        per_second=file.figure("hopmail_recent_deliveries_per_second"),
        rss_bytes=int(file.figure("hopmail_process_resident_memory_bytes")),
        last_acceptance=_by_lane(file, "hopmail_last_acceptance_timestamp_seconds"),
        oldest_held=_by_lane(file, "hopmail_oldest_held_timestamp_seconds"),
        cautions=tuple(file.by("setting", "hopmail_not_for_production")),
        dead_letters=_whole(file.by("reason", "hopmail_dead_letters_total")),
    )


def oldest_by_queue(files: Iterable[WorkerFile]) -> dict[str, datetime]:
    """Return since when, at most, the oldest message of each queue waits."""
    found: dict[str, datetime] = {}
    for file in files:
        for queue, moment in file.moments(
            "queue", "hopmail_queue_oldest_timestamp_seconds"
        ).items():
            # Each host looks for itself, and who knows of a later moment knows more.
            found[queue] = max(moment, found.get(queue, moment))
    return found


def _troubles(file: WorkerFile) -> dict[str, Trouble]:
    return {
        sample.labels["relay"]: Trouble(_moment(sample.value), Stage[sample.labels["stage"]])
        for sample in file.samples("hopmail_breaker_open_since_timestamp_seconds")
        if sample.value
    }


def _by_lane(file: WorkerFile, name: str) -> dict[Lane, datetime]:
    return {Lane(lane): moment for lane, moment in file.moments("lane", name).items()}


def _whole(figures: dict[str, float]) -> dict[str, int]:
    return {key: int(value) for key, value in figures.items()}


def _moment(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)
