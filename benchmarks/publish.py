"""Publish: how many mails a second get to the broker, confirmed and not."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks import goals
from benchmarks.contenders.runs import PUBLISHING
from benchmarks.contenders.where import environment
from benchmarks.figures import ratios, spread
from benchmarks.place import Place
from benchmarks.processes import answer_of
from benchmarks.section import Section, per_second, times
from dev.terminal import step

ROUNDS: Final = 3
QUICK_MAILS: Final = 50

HOW: Final = """\
One process publishes the 1.2 KB mail as fast as it can; the first one, with which it connects, is
not timed. Confirmed means that the broker has said it is safe, by a publisher confirm, for every
mail. Hopmail and pika's `BlockingConnection` publish into the same quorum queue, Celery and
Dramatiq into their classic ones. Unconfirmed, a call returns once the operating system has taken
the bytes: where broker or connection fail then, the mail is gone, and nobody is told.
"""


@dataclass(frozen=True)
class Way:
    """A way to publish, by the name that `benchmarks.contenders.publishing` knows it by."""

    title: str
    name: str
    mails: int
    is_confirmed: bool

    @property
    def is_hopmail(self) -> bool:
        """Whether it is one of ours."""
        return self.name.startswith("hopmail")


MANY: Final = Way("Hopmail, `publish_many`", "hopmail-many", 20_000, is_confirmed=True)
BLOCKING: Final = Way("pika, `BlockingConnection`", "pika-confirmed", 500, is_confirmed=True)
CELERY: Final = Way("Celery, `apply_async`", "celery-usual", 6_000, is_confirmed=False)
WAYS: Final = (
    MANY,
    Way("Hopmail, 8 threads of `publish`", "hopmail-threads", 4_000, is_confirmed=True),
    BLOCKING,
    CELERY,
    Way("Celery, `apply_async`", "celery-usual", 500, is_confirmed=True),
    Way("Dramatiq, `send`", "dramatiq-usual", 6_000, is_confirmed=False),
    Way("Dramatiq, `send`", "dramatiq-usual", 500, is_confirmed=True),
)

Rounds = Mapping[Way, Sequence[float]]
"""The mails per second of each way, round by round."""


def measure(place: Place) -> Section:
    """Publish in every way, in rounds."""
    found: dict[Way, list[float]] = {way: [] for way in WAYS}
    for number in place.rounds(ROUNDS):
        for way in WAYS:
            with step(f"round {number}: {label(way)}"):
                found[way].append(published(place, way))
    return section(found)


def published(place: Place, way: Way) -> float:
    """Publish in one way; return how many a second."""
    count = place.pick(way.mails, QUICK_MAILS)
    with place.vhost() as vhost:
        told = environment(vhost.app_url, with_confirms=way.is_confirmed)
        seconds = answer_of(PUBLISHING, way.name, count, environment=told)
    return (count - 1) / float(seconds)


def section(found: Rounds) -> Section:
    """Return what the page tells of the rounds."""
    return Section(
        "Publish",
        HOW,
        list(_rows(found)),
        reached={
            goals.PUBLISH_BLOCKING: ratios(found[MANY], found[BLOCKING]),
            goals.PUBLISH_CELERY: ratios(found[MANY], found[CELERY]),
        },
        bars={label(way): spread(samples) for way, samples in found.items()},
        theirs=[label(way) for way in found if not way.is_hopmail],
        unit="mails/s published",
    )


def label(way: Way) -> str:
    """Return what tells a way from the others."""
    return f"{way.title}, {'confirmed' if way.is_confirmed else 'unconfirmed'}"


def _rows(found: Rounds) -> Iterator[tuple[str, ...]]:
    yield "way", "mails/s", "range", "`publish_many` does × as many"
    for way, samples in found.items():
        yield label(way), *per_second(spread(samples)), times(ratios(found[MANY], samples))
