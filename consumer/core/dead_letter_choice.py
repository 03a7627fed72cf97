"""Which dead letters a person means."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import field
from datetime import datetime, timedelta
from typing import Final

from consumer.core.dead_letter import DeadLetter
from consumer.core.death import UNKNOWN
from consumer.core.record import record
from publisher_lib.routing import Lane

NOBODY: Final = "-"

AGES: Final = (
    (timedelta(hours=1), "under 1h"),
    (timedelta(days=1), "under 1d"),
    (timedelta(days=7), "under 7d"),
    (timedelta.max, "7d and more"),
)


@record
class Choice:
    """What must be true of a dead letter; an empty set leaves it open.

    `ids` are message ids, or dead letters' own. One of which nobody knows how old it is, is not
    older than anything.
    """

    ids: frozenset[str] = frozenset()
    reasons: frozenset[str] = frozenset()
    lanes: frozenset[Lane] = frozenset()
    domains: frozenset[str] = frozenset()
    logins: frozenset[str] = frozenset()
    older_than: timedelta | None = None

    @property
    def is_open(self) -> bool:
        """Whether every dead letter is meant."""
        return self == Choice()

    def means(self, letter: DeadLetter, now: datetime) -> bool:
        """Return whether this one is meant."""
        return (
            (not self.ids or letter.id in self.ids or letter.message_id in self.ids)
            and (not self.reasons or letter.reason in self.reasons)
            and (not self.lanes or letter.lane in self.lanes)
            and (not self.domains or not self.domains.isdisjoint(letter.domains))
            and (not self.logins or letter.login in self.logins)
            and (self.older_than is None or _is_older(letter, self.older_than, now))
        )


def _is_older(letter: DeadLetter, than: timedelta, now: datetime) -> bool:
    return letter.died_at is not None and now - letter.died_at > than


class Agreed:
    """The dead letters that a person was shown and agreed to: so many of each, and no others.

    Two that share an id may differ in their reason or lane, or in whether they are trusted.
    """

    def __init__(self) -> None:
        self._left: Counter[tuple[str, str, Lane, bool]] = Counter()

    def add(self, letter: DeadLetter) -> None:
        """Take one on that was shown."""
        self._left[_shown(letter)] += 1

    def take(self, letter: DeadLetter) -> bool:
        """Return whether this is one of them, and count it off then."""
        is_one = self.has(letter)
        self._left[_shown(letter)] -= is_one
        return is_one

    def has(self, letter: DeadLetter) -> bool:
        """Return whether this is one of them."""
        return self._left[_shown(letter)] > 0


def _shown(letter: DeadLetter) -> tuple[str, str, Lane, bool]:
    return letter.id, letter.reason, letter.lane, letter.is_trusted


def age_group(letter: DeadLetter, now: datetime) -> str:
    """Return how old it is, roughly."""
    if letter.died_at is None:
        return UNKNOWN
    return next(name for bound, name in AGES if now - letter.died_at < bound)


Group = tuple[str, ...]


@record
class Groups:
    """Dead letters counted by some of `BY`, with the time of the oldest of each group.

    One that is owed to several domains counts in each.
    """

    by: tuple[str, ...]
    counts: Counter[Group] = field(default_factory=Counter)
    oldest: dict[Group, datetime] = field(default_factory=dict)

    def add(self, letter: DeadLetter, now: datetime) -> None:
        """Count one."""
        for group in _groups(letter, self.by, now):
            self.counts[group] += 1
            if letter.died_at is not None:
                self.oldest[group] = min(letter.died_at, self.oldest.get(group, letter.died_at))


BY: Final = ("reason", "lane", "domain", "age", "login")


def _groups(letter: DeadLetter, by: Iterable[str], now: datetime) -> list[Group]:
    found: list[Group] = [()]
    for name in by:
        found = [(*group, value) for group in found for value in _values(letter, name, now)]
    return found


def _values(letter: DeadLetter, name: str, now: datetime) -> tuple[str, ...]:
    match name:
        case "reason":
            return (letter.reason,)
        case "lane":
            return (str(letter.lane),)
        case "domain":
            return letter.domains or (NOBODY,)
        case "age":
            return (age_group(letter, now),)
        case _:
            return (letter.login or NOBODY,)
