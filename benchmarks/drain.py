"""Drain: from a full durable queue until the sink has all of it, for every contender."""

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks import goals
from benchmarks.contenders.runs import (
    CELERY,
    CELERY_TUNED,
    CONTENDERS,
    DRAMATIQ,
    DRAMATIQ_TUNED,
    HOPMAIL,
    ROAMING,
    SMTP_SOURCE,
    Contender,
    smtp_source,
)
from benchmarks.figures import WARM_UP, rate, ratios, spread
from benchmarks.place import Place
from benchmarks.processes import cpu_seconds, family
from benchmarks.section import Section, more, per_second, times
from benchmarks.sink import sink_process
from dev.terminal import step

ROUNDS: Final = 3
QUICK_MAILS: Final = 100
DRAIN_SECONDS: Final = 180.0
MICROSECONDS: Final = 1_000_000

HOW: Final = """\
1.2 KB mails with text and HTML wait in a durable queue, persistent; a rate is counted at the sink
from the first tenth of them to the last, so that nobody's start-up counts. Hopmail is `hopmail run`
with its defaults: two processes of four SMTP sessions each, a quorum queue, the ledger, metrics and
a log line for each mail; not kept to a CPU, it is the same with every thread allowed on all CPUs
again as soon as it is up, as `taskset -a -p` does it (docs/decisions/0011). Celery runs two
processes (prefork) with `acks_late`, Dramatiq two of eight threads, both with their default classic
queues and prefetch; the usual task makes an `EmailMessage` and an `smtplib.SMTP` for each mail, the
tuned one keeps the connection and is given a prefetch of 32 per process. `smtp-source -d` has no
queue: it shows what the relay's side can take over as many sessions as Hopmail has, one command at
a time. CPU is that of all the contender's processes. A copy is a mail that came more often than it
was published.
"""

COUNTING: Final = (
    "With a sink that counts, `smtp-source` needs {cost} time than with one that does not"
    " ({least} to {most})."
)


@dataclass(frozen=True)
class Drained:
    """One contender in one round. `copies` came that were not published."""

    rate: float
    cpu_microseconds: float
    copies: int


Rounds = Mapping[str, Sequence[Drained]]
"""What each contender did in each round, by its name."""


def measure(place: Place) -> Section:
    """Run all contenders in rounds."""
    found: dict[str, list[Drained]] = {contender.name: [] for contender in CONTENDERS}
    costs: list[float] = []
    for number in place.rounds(ROUNDS):
        for contender in CONTENDERS:
            with step(f"round {number}: {contender.name}"):
                count = place.pick(contender.mails, contender.mails // 100 + QUICK_MAILS)
                found[contender.name].append(drained(place, contender, count))
        with step(f"round {number}: what counting costs the sink"):
            costs.append(counting_cost(place))
    return section(found, costs)


def drained(place: Place, contender: Contender, count: int) -> Drained:
    """Let a contender drain so many mails. Raises BenchmarkFailed where they do not come."""
    sink, before = place.sink, place.sink.count
    with place.vhost() as vhost:
        contender.fill(vhost, count)
        with contender.run(place, vhost, count) as pid:
            sink.wait_for(before + int(WARM_UP * count), DRAIN_SECONDS)
            used, at_start = cpu_seconds(family(pid)), sink.count
            sink.wait_for(before + count, DRAIN_SECONDS)
            used, mails = cpu_seconds(family(pid)) - used, sink.count - at_start
    return Drained(
        rate(sink.timeline, before, count),
        used / max(mails, 1) * MICROSECONDS,
        sink.count - before - count,
    )


def counting_cost(place: Place) -> float:
    """Return by which share `smtp-source` takes longer because the sink counts."""
    count = place.pick(SMTP_SOURCE.mails // 2, SMTP_SOURCE.mails // 100)
    counted = _source_seconds(place, place.sink.port, count)
    with sink_process() as port:
        return counted / _source_seconds(place, port, count) - 1


def _source_seconds(place: Place, port: int, count: int) -> float:
    with place.work_folder() as folder:
        command = smtp_source(folder, port, count)
        started = time.monotonic()
        subprocess.run(command, check=True)
        return time.monotonic() - started


def section(found: Rounds, costs: Sequence[float]) -> Section:
    """Return what the page tells of the rounds."""
    rates = {name: [each.rate for each in samples] for name, samples in found.items()}
    ours = rates[HOPMAIL.name]
    tuned = max(
        (rates[each.name] for each in (CELERY_TUNED, DRAMATIQ_TUNED)),
        key=lambda samples: spread(samples).median,
    )
    against = {
        goals.DRAIN_CELERY: rates[CELERY.name],
        goals.DRAIN_DRAMATIQ: rates[DRAMATIQ.name],
        goals.DRAIN_TUNED: tuned,
        goals.DRAIN_RELAY: rates[SMTP_SOURCE.name],
    }
    cost = spread(costs)
    counting = COUNTING.format(cost=more(cost.median), least=more(cost.low), most=more(cost.high))
    return Section(
        "Drain",
        f"{HOW}\n{counting}",
        list(_rows(found, rates)),
        reached={goal: ratios(ours, theirs) for goal, theirs in against.items()},
        bars={name: spread(samples) for name, samples in rates.items()},
        theirs=rates.keys() - {HOPMAIL.name, ROAMING.name},
        unit="mails/s drained",
    )


def _rows(found: Rounds, rates: Mapping[str, Sequence[float]]) -> Iterator[tuple[str, ...]]:
    yield "contender", "mails/s", "range", "Hopmail does × as many", "CPU per mail, µs", "copies"
    for name, samples in found.items():
        yield (
            name,
            *per_second(spread(rates[name])),
            times(ratios(rates[HOPMAIL.name], rates[name])),
            f"{spread([each.cpu_microseconds for each in samples]).median:.0f}",
            str(sum(each.copies for each in samples)),
        )
