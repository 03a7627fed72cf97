"""Watched: what metrics and log cost, by draining with both and with neither."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from benchmarks import goals
from benchmarks.drain import DRAIN_SECONDS, MICROSECONDS, Drained
from benchmarks.figures import WARM_UP, rate, ratios, spread
from benchmarks.hopmail import hopmail, publish
from benchmarks.place import Place
from benchmarks.processes import cpu_seconds, family
from benchmarks.section import Section, per_second
from dev.terminal import step

ROUNDS: Final = 4
MAILS: Final = 12_000
QUICK_MAILS: Final = 200

WITH: Final = "metrics, log at INFO"
WITHOUT: Final = "no metrics, log at ERROR"

WAYS: Final[Mapping[str, Mapping[str, str]]] = {
    WITH: {},
    WITHOUT: {"metrics_dir": "none", "log_level": "ERROR"},
}

HOW: Final = """\
`hopmail run` with its defaults drains the usual mail, with the metrics' files and a log line for
each mail, into a file, and with neither, in turns.
"""

Rounds = Mapping[str, Sequence[Drained]]


def measure(place: Place) -> Section:
    """Drain in both ways, in rounds; the one that begins is the other in each."""
    found: dict[str, list[Drained]] = {way: [] for way in WAYS}
    for number in place.rounds(ROUNDS):
        for way in list(WAYS)[:: 1 if number % 2 else -1]:
            with step(f"round {number}: {way}"):
                found[way].append(drained(place, way))
    return section(found)


def drained(place: Place, way: str) -> Drained:
    """Drain in one way."""
    sink, before, count = place.sink, place.sink.count, place.pick(MAILS, QUICK_MAILS)
    with place.vhost() as vhost:
        publish(vhost, count)
        with hopmail(place, vhost, **WAYS[way]) as crew:
            sink.wait_for(before + int(WARM_UP * count), DRAIN_SECONDS)
            used, at_start = cpu_seconds(family(crew.pid)), sink.count
            sink.wait_for(before + count, DRAIN_SECONDS)
            used, mails = cpu_seconds(family(crew.pid)) - used, sink.count - at_start
    return Drained(rate(sink.timeline, before, count), used / max(mails, 1) * MICROSECONDS, 0)


def section(found: Rounds) -> Section:
    """Return what the page tells of the rounds."""
    rates = {way: [each.rate for each in samples] for way, samples in found.items()}
    return Section(
        "Watched",
        HOW,
        list(_rows(found, rates)),
        reached={goals.WATCHED: ratios(rates[WITH], rates[WITHOUT])},
    )


def _rows(found: Rounds, rates: Mapping[str, Sequence[float]]) -> Iterator[tuple[str, ...]]:
    yield "with", "mails/s", "range", "CPU per mail, µs"
    for way, samples in found.items():
        used = spread([each.cpu_microseconds for each in samples])
        yield way, *per_second(spread(rates[way])), f"{used.median:.0f}"
