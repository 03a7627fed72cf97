"""Latency: from the call of `publish` to the relay's 250, and what a request waits for."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from benchmarks.contenders.where import environment
from benchmarks.delay_line import delay_line
from benchmarks.figures import Spread, percentile, spread
from benchmarks.hopmail import hopmail
from benchmarks.load import CONNECTING, Call, loaded, message_id
from benchmarks.place import Place
from benchmarks.section import Section, milliseconds
from benchmarks.sink import relay_url
from benchmarks.timing_sink import timing_sink
from dev.terminal import step
from publisher_lib import Lane

ROUNDS: Final = 3
RATES: Final = (100, 500)
SECONDS: Final = 5
FAR_SECONDS: Final = 0.020
FASTEST_FAR: Final = 100
"""More requests at a time than the load has threads would wait for such a relay."""

HANDLED_SECONDS: Final = 30.0
SHARES: Final = (0.50, 0.95, 0.99)
SHOWN: Final = 0.99

TO_RELAY: Final = "`publish` called → the relay's 250"
IN_PUBLISH: Final = "inside `publish`, confirmed"
IN_SMTPLIB: Final = "sending by `smtplib` in the request"
IN_SMTPLIB_FAR: Final = f"the same, to a relay {FAR_SECONDS * 1000:.0f} ms away"

HOW: Final = """\
A steady load from a process of its own; each call is timed from its beginning, the 250 by an SMTP
server of ours that notes the moment before it answers (`smtp-sink` cannot say which mail it took
when; on one machine all processes read the same monotonic clock). `smtplib` makes a connection for
each mail, as a web app does that sends in the request: to a relay on this machine, which no app
has, and to one that is 20 ms away, as the nearest data centre is. Times in ms.
"""


class Measured(NamedTuple):
    """What was timed, and at how many a second."""

    what: str
    rate: int


Rounds = Mapping[Measured, Sequence[Sequence[float]]]
"""The seconds of each call, round by round."""


def measure(place: Place) -> Section:
    """Put on the loads, in rounds."""
    found: dict[Measured, list[list[float]]] = {}
    for number in place.rounds(ROUNDS):
        for rate in RATES:
            for what, seconds in measured(place, number, place.pick(rate, rate // 5)):
                found.setdefault(what, []).append(seconds)
    return section(found)


def measured(place: Place, number: int, rate: int) -> Iterator[tuple[Measured, list[float]]]:
    """Put on the loads of one rate; yield how long each call, or mail, took."""
    with step(f"round {number}: {rate} mails/s through Hopmail"):
        in_publish, to_relay = published(place, rate)
    yield Measured(TO_RELAY, rate), to_relay
    yield Measured(IN_PUBLISH, rate), in_publish
    with step(f"round {number}: {rate} mails/s by `smtplib`"):
        yield Measured(IN_SMTPLIB, rate), sent(place, place.sink.port, rate)
    if rate <= FASTEST_FAR:
        with (
            step(f"round {number}: {rate} mails/s by `smtplib`, relay far away"),
            delay_line(place.sink.port, FAR_SECONDS) as port,
        ):
            yield Measured(IN_SMTPLIB_FAR, rate), sent(place, port, rate)


def published(place: Place, rate: int) -> tuple[list[float], list[float]]:
    """Publish at this rate; return how long each call took, and how long each mail."""
    with place.vhost() as vhost, timing_sink() as (port, taken):
        with hopmail(place, vhost, relay_url(port)) as crew:
            crew.consumers.wait_ready()
            calls = loaded("publish", rate, _seconds(place), environment(vhost.app_url))
            crew.handled(Lane.TRANSACTIONAL, len(calls) + CONNECTING, HANDLED_SECONDS)
        return _times(calls), delays(calls, taken())


def sent(place: Place, port: int, rate: int) -> list[float]:
    """Send at this rate; return how long each call took."""
    return _times(loaded("smtplib", rate, _seconds(place), environment("", port)))


def delays(calls: Sequence[Call], taken: Mapping[str, float]) -> list[float]:
    """Return the seconds from each call to the moment at which its mail was taken."""
    return [taken[message_id(call.number)] - call.began_seconds for call in calls]


def section(found: Rounds) -> Section:
    """Return what the page tells of the rounds."""
    return Section(
        "Latency",
        HOW,
        list(_rows(found)),
        bars={
            label(what): _spread(rounds, SHOWN, unit_seconds=0.001)
            for what, rounds in found.items()
        },
        theirs=[label(each) for each in found if each.what in {IN_SMTPLIB, IN_SMTPLIB_FAR}],
        unit="p99, ms",
    )


def label(each: Measured) -> str:
    """Return what tells a bar from the others."""
    return f"{each.what}, {each.rate}/s"


def _rows(found: Rounds) -> Iterator[tuple[str, ...]]:
    yield "what", "mails/s", "p50", "p95", "p99"
    for (what, rate), rounds in found.items():
        yield what, str(rate), *(milliseconds(_spread(rounds, share)) for share in SHARES)


def _spread(rounds: Sequence[Sequence[float]], share: float, unit_seconds: float = 1.0) -> Spread:
    return spread([percentile(values, share) / unit_seconds for values in rounds])


def _times(calls: Sequence[Call]) -> list[float]:
    return [call.took_seconds for call in calls]


def _seconds(place: Place) -> int:
    return place.pick(SECONDS, 1)
