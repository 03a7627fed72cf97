"""A slow relay: mails per second and session where each round trip takes its time."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import attrgetter
from typing import Final, NamedTuple

from benchmarks import goals
from benchmarks.contenders.tasks import connect, fields, message
from benchmarks.delay_line import delay_line
from benchmarks.figures import Spread, rate, ratios, spread
from benchmarks.hopmail import SESSIONS, hopmail, publish
from benchmarks.mail import SENDER, recipient
from benchmarks.place import Place
from benchmarks.section import Section, times
from benchmarks.sink import relay_url
from dev.terminal import step

ROUNDS: Final = 3
LATE_MS: Final = (20, 100)
MAILS: Final[Mapping[int, int]] = {20: 480, 100: 320}
QUICK_MAILS: Final = 40
DRAIN_SECONDS: Final = 60.0
SECOND_MS: Final = 1000

HOPMAIL: Final = "Hopmail"
SENDMAIL: Final = "`smtplib.sendmail`, kept connection"

HOW: Final = f"""\
A proxy before `smtp-sink` holds back what the relay says for 20 or 100 ms: each round trip takes so
long, as to a relay far away or a busy one. Both have {SESSIONS} sessions and keep them; `sendmail`
is given the composed mail and does nothing else. The goal counts for the delay where it is further
away.
"""


class Measured(NamedTuple):
    """Who sent, and how late the replies were."""

    who: str
    late_ms: int


Rounds = Mapping[Measured, Sequence[float]]
"""The mails per second and session, round by round."""


def measure(place: Place) -> Section:
    """Send over the slow line, in rounds."""
    found: dict[Measured, list[float]] = {}
    for number in place.rounds(ROUNDS):
        for late_ms in LATE_MS:
            for who, send in ((HOPMAIL, _hopmail), (SENDMAIL, _sendmail)):
                count = place.pick(MAILS[late_ms], QUICK_MAILS)
                with step(f"round {number}: {late_ms} ms, {who}"):
                    before = place.sink.count
                    with delay_line(place.sink.port, late_ms / SECOND_MS) as port:
                        send(place, port, count)
                per_session = rate(place.sink.timeline, before, count) / SESSIONS
                found.setdefault(Measured(who, late_ms), []).append(per_session)
    return section(found)


def _hopmail(place: Place, port: int, count: int) -> None:
    before = place.sink.count
    with place.vhost() as vhost:
        publish(vhost, count)
        with hopmail(place, vhost, relay_url(port)):
            place.sink.wait_for(before + count, DRAIN_SECONDS)


def _sendmail(place: Place, port: int, count: int) -> None:
    before = place.sink.count
    content = message(**fields(0)).as_bytes()
    kept = threading.local()

    def send(number: int) -> None:
        if not hasattr(kept, "smtp"):
            kept.smtp = connect(port)
        kept.smtp.sendmail(SENDER, recipient(number), content)

    with ThreadPoolExecutor(SESSIONS) as pool:
        list(pool.map(send, range(count)))
    place.sink.wait_for(before + count, DRAIN_SECONDS)


def section(found: Rounds) -> Section:
    """Return what the page tells of the rounds."""
    gain = partial(_gain, found)
    return Section(
        "Slow relay",
        HOW,
        list(_rows(found)),
        reached={goals.SLOW_RELAY: min(map(gain, LATE_MS), key=attrgetter("median"))},
    )


def _rows(found: Rounds) -> Iterator[tuple[str, ...]]:
    yield "reply after, ms", HOPMAIL, SENDMAIL, "Hopmail does × as many"
    for late_ms in LATE_MS:
        rates = (found[Measured(who, late_ms)] for who in (HOPMAIL, SENDMAIL))
        yield str(late_ms), *(times(spread(each)) for each in rates), times(_gain(found, late_ms))


def _gain(found: Rounds, late_ms: int) -> Spread:
    return ratios(found[Measured(HOPMAIL, late_ms)], found[Measured(SENDMAIL, late_ms)])
