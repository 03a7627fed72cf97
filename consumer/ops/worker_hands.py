"""What this host's workers have in hands, by what each wrote last."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from consumer.core.drained import Hands, has_obeyed
from consumer.core.status import SILENT
from consumer.ops.worker_files import WorkerFile, read_files, seen
from publisher_lib.routing import Lane


def hands(folder: Path, lanes: tuple[Lane, ...], since: datetime) -> Iterator[Hands]:
    """Yield each worker that lives, and whether it has obeyed what was asked at `since`.

    One that is silent may hang, with mail in hands: only a process that is gone has none.
    """
    # Where there is no folder, no worker has begun.
    with suppress(OSError):
        for file in read_files(folder):
            worker = seen(file)
            if abs(datetime.now(UTC) - worker.heartbeat) < SILENT or file.is_held:
                yield Hands(
                    worker.name,
                    _in_hands(file, lanes),
                    has_obeyed=has_obeyed(worker, since) and _are_paused(file, lanes),
                )


def _in_hands(file: WorkerFile, lanes: tuple[Lane, ...]) -> int:
    by_lane = file.by("lane", "hopmail_in_flight")
    return int(sum(by_lane.get(lane, 0.0) for lane in lanes))


def _are_paused(file: WorkerFile, lanes: tuple[Lane, ...]) -> bool:
    # One that waits for its ledger takes none, and does not tell of lanes yet.
    takes_mail = bool(file.samples("hopmail_in_flight"))
    return not takes_mail or set(lanes) <= set(file.by("lane", "hopmail_lane_paused"))
