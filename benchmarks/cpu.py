"""CPU: what a mail costs the worker, step by step, and as a whole."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from benchmarks.figures import WARM_UP, spread
from benchmarks.hopmail import hopmail, publish
from benchmarks.place import Place
from benchmarks.processes import answer_of, cpu_seconds
from benchmarks.section import Section
from dev.terminal import step

ROUNDS: Final = 3
STEPPED: Final = 3_000
DRAINED: Final = 10_000
QUICK_MAILS: Final = 200
DRAIN_SECONDS: Final = 60.0
MICROSECONDS: Final = 1_000_000

REST: Final = "the rest: AMQP, threads, switching between them"
WHOLE: Final = "the whole worker"

HOW: Final = """\
CPU time, in µs per mail. Each step was done alone, some thousand times in a row by one thread (the
ledger's by its own thread as well, 32 mails to a commit); the whole is what Linux says that the two
worker processes used during a drain, from the first tenth of the mails to the last. What the steps
leave of it is the broker's protocol, the threads that hand mails to each other, and the caches
that this costs.
"""


class Round(NamedTuple):
    """What one round gave: each step, and the whole."""

    steps: Mapping[str, float]
    whole: float


def measure(place: Place) -> Section:
    """Measure steps and whole, in rounds."""
    rounds: list[Round] = []
    for number in place.rounds(ROUNDS):
        with step(f"round {number}: each step alone"), place.work_folder() as folder:
            count = place.pick(STEPPED, QUICK_MAILS)
            steps = answer_of("benchmarks.steps", count, place.sink.port, folder, environment={})
        with step(f"round {number}: the whole worker"):
            rounds.append(Round(steps, whole(place)))
    return section(rounds)


def whole(place: Place) -> float:
    """Return the microseconds of CPU that the workers spend on a mail while they drain."""
    sink, before = place.sink, place.sink.count
    count = place.pick(DRAINED, QUICK_MAILS)
    with place.vhost() as vhost:
        publish(vhost, count)
        with hopmail(place, vhost) as crew:
            sink.wait_for(before + int(WARM_UP * count), DRAIN_SECONDS)
            workers = crew.workers
            used, at_start = cpu_seconds(workers), sink.count
            sink.wait_for(before + count, DRAIN_SECONDS)
            used, mails = cpu_seconds(workers) - used, sink.count - at_start
    return used / max(mails, 1) * MICROSECONDS


def section(rounds: Sequence[Round]) -> Section:
    """Return what the page tells of the rounds."""
    return Section("CPU per mail", HOW, list(_rows(rounds)))


def _rows(rounds: Sequence[Round]) -> Iterator[tuple[str, ...]]:
    whole = spread([each.whole for each in rounds]).median
    yield "step", "µs", "share", "range, µs"
    for name, samples in _samples(rounds).items():
        found = spread(samples)
        yield (
            name,
            f"{found.median:.0f}",
            f"{found.median / whole:.0%}",
            f"{found.low:.0f}–{found.high:.0f}",
        )


def _samples(rounds: Sequence[Round]) -> Mapping[str, Sequence[float]]:
    """Return the samples of each row, the rest and the whole among them."""
    steps = {name: [each.steps[name] for each in rounds] for name in rounds[0].steps}
    rest = [each.whole - sum(each.steps.values()) for each in rounds]
    return {**steps, REST: rest, WHOLE: [each.whole for each in rounds]}
