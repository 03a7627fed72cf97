"""The contenders of the drain: how each one's queue is filled, and how it is run."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks import hopmail
from benchmarks.contenders.where import environment
from benchmarks.failed import BenchmarkFailed
from benchmarks.mail import email
from benchmarks.place import Place
from benchmarks.processes import answer_of, may_roam, python, running
from benchmarks.sink import program
from consumer.core.compose import compose
from dev.processes import LOOPBACK
from tests.support.broker import VirtualHost

PUBLISHING: Final = "benchmarks.contenders.publishing"
DRAMATIQ_THREADS: Final = 8
TUNED_PREFETCH: Final = 32
"""What Hopmail's processes hold as well, by default."""


@dataclass(frozen=True)
class Contender:
    """`fill` publishes so many mails; `run` keeps it sending them, and yields its process id."""

    name: str
    mails: int
    fill: Callable[[VirtualHost, int], None]
    run: Callable[[Place, VirtualHost, int], AbstractContextManager[int]]


@contextmanager
def _hopmail(place: Place, vhost: VirtualHost, _count: int) -> Iterator[int]:
    with hopmail.hopmail(place, vhost) as crew:
        yield crew.pid


@contextmanager
def _roaming(place: Place, vhost: VirtualHost, _count: int) -> Iterator[int]:
    with hopmail.hopmail(place, vhost) as crew:
        crew.roam()
        yield crew.pid
        if not may_roam(crew.workers):
            raise BenchmarkFailed("Hopmail has kept itself to a CPU again")


@contextmanager
def _celery(prefetch: int, place: Place, vhost: VirtualHost, _count: int) -> Iterator[int]:
    command = python(
        *("celery", "-A", "benchmarks.contenders.celery_app", "worker", "--concurrency", 2),
        *("--prefetch-multiplier", prefetch, "--loglevel", "WARNING"),
    )
    with _running(command, place, vhost) as pid:
        yield pid


@contextmanager
def _dramatiq(prefetch: int, place: Place, vhost: VirtualHost, _count: int) -> Iterator[int]:
    command = python(
        *("dramatiq", "benchmarks.contenders.dramatiq_app"),
        *("--processes", 2, "--threads", DRAMATIQ_THREADS),
    )
    more = {"dramatiq_queue_prefetch": str(prefetch)} if prefetch else {}
    with _running(command, place, vhost, **more) as pid:
        yield pid


@contextmanager
def _smtp_source(place: Place, _vhost: VirtualHost, count: int) -> Iterator[int]:
    with place.work_folder() as folder:
        command = smtp_source(folder, place.sink.port, count)
        with running(command, folder / "log", {}) as process:
            yield process.pid


def smtp_source(folder: Path, port: int, count: int) -> list[str]:
    """Return the command that sends the usual mail so often, over as many sessions as Hopmail's."""
    mail = folder / "mail"
    composed = compose(email(0), "smtp-source", datetime.now(UTC))
    mail.write_bytes(composed.content.replace(b"\r\n", b"\n"))
    return [
        *(program("smtp-source"), "-d", "-s", str(hopmail.SESSIONS), "-m", str(count)),
        *("-f", composed.envelope.sender, "-t", composed.envelope.recipients[0]),
        *("-F", str(mail), f"{LOOPBACK}:{port}"),
    ]


@contextmanager
def _running(command: list[str], place: Place, vhost: VirtualHost, **more: str) -> Iterator[int]:
    told = {**environment(vhost.app_url, place.sink.port), **more}
    with place.work_folder() as folder, running(command, folder / "log", told) as process:
        yield process.pid


def _fill(way: str, vhost: VirtualHost, count: int) -> None:
    answer_of(PUBLISHING, way, count, environment=environment(vhost.app_url))


def _nothing(_vhost: VirtualHost, _count: int) -> None:
    """Fill nothing: it makes its mails itself."""


HOPMAIL: Final = Contender("Hopmail", 20_000, hopmail.publish, _hopmail)
ROAMING: Final = Contender("Hopmail, not kept to a CPU", 20_000, hopmail.publish, _roaming)
CELERY: Final = Contender(
    "Celery, usual task", 2_000, partial(_fill, "celery-usual"), partial(_celery, 4)
)
DRAMATIQ: Final = Contender(
    "Dramatiq, usual task", 2_000, partial(_fill, "dramatiq-usual"), partial(_dramatiq, 0)
)
CELERY_TUNED: Final = Contender(
    "Celery, tuned", 4_000, partial(_fill, "celery-tuned"), partial(_celery, TUNED_PREFETCH)
)
DRAMATIQ_TUNED: Final = Contender(
    "Dramatiq, tuned", 4_000, partial(_fill, "dramatiq-tuned"), partial(_dramatiq, TUNED_PREFETCH)
)
SMTP_SOURCE: Final = Contender("`smtp-source -d`", 60_000, _nothing, _smtp_source)

CONTENDERS: Final = (
    *(HOPMAIL, ROAMING, CELERY, DRAMATIQ, CELERY_TUNED, DRAMATIQ_TUNED),
    SMTP_SOURCE,
)
