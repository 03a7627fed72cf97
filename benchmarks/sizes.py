"""Sizes: what small and large mails come to, and what memory they take."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Final

from benchmarks.figures import rate, spread
from benchmarks.hopmail import hopmail, publish_all
from benchmarks.mail import email
from benchmarks.place import Place
from benchmarks.processes import peak_rss_bytes
from benchmarks.section import Section, per_second
from dev.terminal import step
from publisher_lib import Attachment

ROUNDS: Final = 2
DRAIN_SECONDS: Final = 120.0
MEBIBYTE: Final = 1024 * 1024

HOW: Final = """\
The usual mail with an attachment of random bytes, published as base64 in JSON, composed anew, and
drained by `hopmail run` with its defaults. Memory is the largest resident set of either process.
"""


@dataclass(frozen=True)
class Size:
    """The attachment's size, and how many mails have it."""

    title: str
    attached_bytes: int
    mails: int
    quick_mails: int


SIZES: Final = (
    Size("1 KB", 1_000, 8_000, 100),
    Size("100 KB", 100_000, 1_000, 30),
    Size("5 MB", 5_000_000, 40, 20),
)


@dataclass(frozen=True)
class Drained:
    """What came of one size in one round."""

    rate: float
    peak_rss_bytes: int


Rounds = Mapping[Size, Sequence[Drained]]


def measure(place: Place) -> Section:
    """Drain every size, in rounds."""
    found: dict[Size, list[Drained]] = {size: [] for size in SIZES}
    for number in place.rounds(ROUNDS):
        for size in SIZES:
            with step(f"round {number}: {size.title} attached"):
                found[size].append(drained(place, size))
    return section(found)


def drained(place: Place, size: Size) -> Drained:
    """Drain mails of one size."""
    count, before = place.pick(size.mails, size.quick_mails), place.sink.count
    attachment = Attachment(
        filename="report.bin",
        content_type="application/octet-stream",
        content=os.urandom(size.attached_bytes),
    )
    with place.vhost() as vhost:
        publish_all(vhost, repeat(email(0, attachments=[attachment]), count))
        with hopmail(place, vhost) as crew:
            place.sink.wait_for(before + count, DRAIN_SECONDS)
            peak = max(map(peak_rss_bytes, crew.workers))
    return Drained(rate(place.sink.timeline, before, count), peak)


def section(found: Rounds) -> Section:
    """Return what the page tells of the rounds."""
    return Section("Sizes", HOW, list(_rows(found)))


def _rows(found: Rounds) -> Iterator[tuple[str, ...]]:
    yield "attachment", "mails/s", "range", "attached MB/s", "peak RSS, MiB"
    for size, samples in found.items():
        rates = spread([each.rate for each in samples])
        peak = max(each.peak_rss_bytes for each in samples) / MEBIBYTE
        yield (
            size.title,
            *per_second(rates),
            f"{rates.median * size.attached_bytes / 1e6:.1f}",
            f"{peak:.0f}",
        )
