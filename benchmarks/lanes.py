"""Lanes: whether bulk mail that waits holds up the transactional."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from benchmarks import goals
from benchmarks.contenders.runs import HOPMAIL
from benchmarks.contenders.where import environment
from benchmarks.drain import drained
from benchmarks.figures import percentile, ratios, spread
from benchmarks.hopmail import hopmail, publish
from benchmarks.load import CONNECTING, loaded, message_id
from benchmarks.place import Place
from benchmarks.section import Section, milliseconds
from consumer.core.topology import lane_queue
from dev.terminal import step
from publisher_lib import Lane

ROUNDS: Final = 2
DRAINED: Final = 10_000
BULK: Final = 50_000
QUICK_BULK: Final = 200
SECONDS: Final = 6
FASTEST: Final = 5_000
"""What the process that makes the load can publish a second."""

QUICK_RATE: Final = 50
SETTLING_SHARE: Final = 0.2
"""Of the load that is not judged: with it queues and caches come to rest."""

HANDLED_SECONDS: Final = 60.0
SHARES: Final = (0.50, 0.95, 0.99)
WORST: Final = 0.99

HOW: Final = """\
A steady load of transactional mail at half the rate that Hopmail has drained just before
({rate:.0f} mails/s), once with nothing else and once with {bulk} bulk mails waiting in the other
lane, which take what is left of the machine. The time is the one of the consumer's log line, from
the call of `publish` to the relay's acceptance. When the load ended, at least {left} of the bulk
mails were still waiting. Times in ms.
"""

Rounds = Mapping[int, Sequence[Sequence[float]]]
"""By how many bulk mails waited: the seconds that each transactional mail took, round by round."""


def measure(place: Place) -> Section:
    """Put on the load beside bulk mail and without, in rounds."""
    with step("how many a second Hopmail drains"):
        count = place.pick(DRAINED, QUICK_BULK)
        rate = min(drained(place, HOPMAIL, count).rate / 2, place.pick(FASTEST, QUICK_RATE))
    bulk = place.pick(BULK, QUICK_BULK)
    found: dict[int, list[list[float]]] = {0: [], bulk: []}
    left: list[int] = []
    for number in place.rounds(ROUNDS):
        for waiting, rounds in found.items():
            with step(f"round {number}: {waiting} bulk mails waiting"):
                seconds, unsent = served(place, waiting, rate)
            rounds.append(seconds)
            left += [unsent] if waiting else []
    return section(found, rate, min(left))


def served(place: Place, waiting: int, rate: float) -> tuple[list[float], int]:
    """Put on the load; return the seconds that its mails took, and how many bulk mails are left."""
    with place.vhost() as vhost:
        publish(vhost, waiting, Lane.BULK)
        with hopmail(place, vhost) as crew:
            crew.consumers.wait_ready()
            calls = loaded(
                "publish-nowait", rate, place.pick(SECONDS, 1), environment(vhost.app_url)
            )
            left = vhost.queue_depth(lane_queue(Lane.BULK))
            lines = crew.handled(Lane.TRANSACTIONAL, len(calls) + CONNECTING, HANDLED_SECONDS)
        return judged(lines, len(calls)), left


def judged(lines: Sequence[Mapping[str, Any]], calls: int) -> list[float]:
    """Return the seconds that the mails of so many calls took, the first of them left out."""
    counted = {message_id(number) for number in range(int(SETTLING_SHARE * calls), calls)}
    return [line["latency_seconds"] for line in lines if line["message_id"] in counted]


def section(found: Rounds, rate: float, left: int) -> Section:
    """Return what the page tells of the rounds."""
    without, beside = ([percentile(each, WORST) for each in found[n]] for n in sorted(found))
    return Section(
        "Lanes",
        HOW.format(rate=rate, bulk=max(found), left=left),
        list(_rows(found)),
        # Where no bulk mail was left, the load had nothing beside it.
        reached={goals.LANES: ratios(beside, without)} if left else {},
    )


def _rows(found: Rounds) -> Iterator[tuple[str, ...]]:
    yield "bulk mails waiting", "p50", "p95", "p99"
    for waiting, rounds in found.items():
        cells = (spread([percentile(each, share) for each in rounds]) for share in SHARES)
        yield str(waiting), *map(milliseconds, cells)
