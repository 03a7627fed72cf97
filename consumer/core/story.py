"""What became of one message: what its traces tell, put together."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from consumer.core.found import DeadSeen, Known, Line, replayed_of, word
from consumer.core.places import Looked, Whereabouts
from consumer.core.record import record
from consumer.core.whereabouts import whereabouts

TIMED_UUID: Final = 7
"""The version of those that tell when they were made (RFC 9562 §5.7)."""

MOST_SECONDS: Final = 1e9

BY_HEADER: Final = "its dead letter's header"
BY_LATENCY: Final = "its latency in the log; with a send_at, when it was due"
BY_ID: Final = "its id, which was made then"


@record
class Published:
    """When it was published. `is_certain`: its own header says so; else `source` tells why."""

    at: datetime
    source: str
    is_certain: bool = False


@record
class Part:
    """The message of one login; `login` is None where nothing tells it, empty where it had none.

    `replayed` is how often, at least, a person had it sent again; `replayed_at` when last, if its
    dead letter tells.
    """

    login: str | None
    app_ids: tuple[str, ...]
    published: Published | None
    places: tuple[Whereabouts, ...]
    known: Known | None
    dead: tuple[DeadSeen, ...]
    replayed: int = 0
    replayed_at: datetime | None = None


@record
class Story:
    """All that is found under one message id.

    `lines` are those of the log, which tell no login: with `is_ambiguous` they may be of another.
    """

    message_id: str
    parts: tuple[Part, ...]
    lines: tuple[Line, ...]
    now: datetime
    is_ambiguous: bool = False

    @property
    def is_found(self) -> bool:
        """Whether anything is known of it."""
        return bool(self.parts)


def story(
    message_id: str,
    *,
    known: Sequence[Known],
    dead: Sequence[DeadSeen],
    lines: Sequence[Line],
    looked: Looked,
    login: str | None = None,
) -> Story:
    """Return the story of a message id, of one login or of all that have used it."""
    by_login = {each.key.login: each for each in known}
    logins: list[str | None] = [*sorted(by_login.keys() | {each.login for each in dead})]
    if login is not None:
        logins = [each for each in logins if each == login]
    if not logins and lines:
        logins = [login]
    is_ambiguous = bool(lines) and (len(logins) > 1 or login is not None)
    parts = tuple(
        _part(
            message_id,
            name,
            None if name is None else by_login.get(name),
            tuple(each for each in dead if each.login == name),
            lines=() if is_ambiguous else lines,
            looked=looked,
        )
        for name in logins
    )
    return Story(message_id, parts, tuple(lines), looked.now, is_ambiguous)


def made_at(message_id: str) -> datetime | None:
    """Return when a message id was made, where it is a UUID that tells."""
    try:
        found = uuid.UUID(message_id)
        if found.version != TIMED_UUID:
            return None
        return datetime.fromtimestamp((found.int >> 80) / 1000, UTC)
    except (ValueError, OverflowError):
        return None


def _part(
    message_id: str,
    login: str | None,
    known: Known | None,
    dead: tuple[DeadSeen, ...],
    *,
    lines: Sequence[Line],
    looked: Looked,
) -> Part:
    apps = {each.app_id for each in dead} | {word(line.fields, "app_id") for line in lines}
    return Part(
        login=login,
        app_ids=tuple(sorted(apps - {""})),
        published=_published(message_id, dead, lines),
        places=whereabouts(known, dead, lines, looked),
        known=known,
        dead=dead,
        replayed=_replayed(known, dead, lines),
        replayed_at=max(filter(None, (each.replayed_at for each in dead)), default=None),
    )


def _replayed(known: Known | None, dead: Sequence[DeadSeen], lines: Sequence[Line]) -> int:
    # In the ledger a replay, and nothing else, raises the epoch.
    epochs = (each.generation.epoch for each in known.recipients) if known else ()
    return max((*epochs, *(each.replayed for each in dead), *map(replayed_of, lines)), default=0)


def _published(
    message_id: str, dead: Sequence[DeadSeen], lines: Sequence[Line]
) -> Published | None:
    for each in dead:
        if each.published is not None:
            return Published(each.published, BY_HEADER, is_certain=each.is_believed)
    for line in lines:
        latency = line.fields.get("latency_seconds")
        if replayed_of(line):
            # It counts from there.
            continue
        if isinstance(latency, int | float) and abs(latency) < MOST_SECONDS:
            return Published(line.at - timedelta(seconds=latency), BY_LATENCY)
    made = made_at(message_id)
    return None if made is None else Published(made, BY_ID)
