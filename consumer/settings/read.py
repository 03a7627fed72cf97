"""From a setting's text to its value. Every ValueError says what is accepted."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from tomllib import TOMLDecodeError, loads
from typing import Any, Final

from pydantic import PlainValidator

from consumer.core.durations import format_duration, parse_duration
from consumer.core.folder_url import FolderURL
from consumer.core.relay_url import RelayURL
from consumer.core.sender_policy import SenderPolicy
from consumer.settings.mask import SEPARATOR

MAX_STEPS: Final = 16
LONGEST_STEP: Final = timedelta(days=7)
"""Of the ladder; each step is a queue per lane, and mail a week late helps nobody."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """Stands for a value that could not be had; `problem` says why."""

    problem: str


def reads(read: Callable[[str], object]) -> Any:
    """Return the validator of a field whose text `read` understands."""

    def validate(given: object) -> object:
        if isinstance(given, Unusable):
            raise ValueError(given.problem)  # noqa: TRY004 - the one pydantic makes an error of
        return read(str(given))

    return PlainValidator(validate)


def read_relays(text: str) -> tuple[RelayURL | FolderURL, ...]:
    """Read one or several relays' URLs, comma-separated, the preferred one first; or a folder's.

    Only a comma before a scheme parts two; others may stand in a password, as %2C best of all.
    """
    urls = SEPARATOR.split(text.strip())
    if any(map(FolderURL.is_meant, urls)):
        if len(urls) > 1:
            raise ValueError(
                "a folder stands alone: beside relays it would take mail that is to wait for them"
            )
        return (FolderURL.parse(text),)
    if len(urls) == 1:
        return (RelayURL.parse(text),)
    relays = tuple(_read_relay(number, url) for number, url in enumerate(urls, 1))
    places = [relay.place for relay in relays]
    for place in places:
        if places.count(place) > 1:
            raise ValueError(f"{place} is named twice; each relay must have its own host or port")
    return relays


def _read_relay(number: int, url: str) -> RelayURL:
    try:
        return RelayURL.parse(url)
    except ValueError as error:
        raise ValueError(f"relay {number}: {error}") from None


def read_ladder(text: str) -> tuple[timedelta, ...]:
    """Read the retry delays: `30s,2m,10m`, each longer than the one before."""
    steps = tuple(parse_duration(step) for step in text.split(","))
    if len(steps) > MAX_STEPS:
        raise ValueError(f"has {len(steps)} steps, at most {MAX_STEPS}")
    if any(later <= earlier for earlier, later in pairwise(steps)):
        raise ValueError("each step must be longer than the one before: 30s,2m,10m")
    if steps[-1] > LONGEST_STEP:
        raise ValueError(f"no step may be longer than {format_duration(LONGEST_STEP)}")
    return steps


def read_logins(text: str) -> frozenset[str]:
    """Read logins, comma-separated."""
    return frozenset(filter(None, (login.strip() for login in text.split(","))))


def read_sender_policy(text: str) -> SenderPolicy | None:
    """Read a TOML table of senders by login, or `none`; an empty one is none of both."""
    if text.strip().casefold() == "none":
        return None
    try:
        return SenderPolicy.of(loads(text))
    except TOMLDecodeError:
        # Its words quote what was given.
        raise ValueError('must be TOML: shop = ["@shop.example"], a line for each login') from None


def read_folder(text: str) -> Path | None:
    """Read a folder's path, or `none`."""
    return None if text.strip().casefold() == "none" else Path(text).absolute()


def read_state_folder(text: str) -> Path:
    """Read a folder's path."""
    return Path(text).absolute()


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """Return the reader of whole numbers from `low` to `high`."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text.strip()) or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return read


def duration(low: timedelta, high: timedelta) -> Callable[[str], timedelta]:
    """Return the reader of durations from `low` to `high`."""

    def read(text: str) -> timedelta:
        found = parse_duration(text)
        if not low <= found <= high:
            raise ValueError(f"must be from {format_duration(low)} to {format_duration(high)}")
        return found

    return read


def duration_or_none(low: timedelta, high: timedelta) -> Callable[[str], timedelta | None]:
    """Return the reader of durations from `low` to `high`, or `none`."""
    known = duration(low, high)

    def read(text: str) -> timedelta | None:
        return None if text.strip().casefold() == "none" else known(text)

    return read


def one_of(*words: str) -> Callable[[str], str]:
    """Return the reader of one of `words`, in whatever case."""
    known = {word.casefold(): word for word in words}

    def read(text: str) -> str:
        if text.strip().casefold() not in known:
            raise ValueError(f"must be one of {', '.join(words)}")
        return known[text.strip().casefold()]

    return read
