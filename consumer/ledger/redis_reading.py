"""Looks into the ledger on a Redis while consumers write there: read commands only, no lease."""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, cast
from urllib.parse import unquote

import redis

from consumer.core.found import Holder, Known, KnownRecipient
from consumer.core.ledger import Key
from consumer.core.redis_url import RedisURL
from consumer.ledger.redis_entry import NOBODY, Stored
from consumer.ledger.redis_server import (
    MARGIN,
    SILENCE,
    STAMP,
    Message,
    connection,
    name_of,
    without_login,
)
from consumer.ledger.store import LedgerTrouble

KEYS_AT_ONCE: Final = 1000
"""Of a scan. Redis serves others in between, so that they do not notice it."""

GLOB: Final = re.compile(r"([*?\[\]\\^])")


class RedisReader:
    """Reads a Redis. Without a login it goes through the names of all keys: 1 s for a million."""

    def __init__(self, url: RedisURL, retention: timedelta) -> None:
        self._url = url
        self._life = retention + MARGIN
        self._redis = connection(url)

    def known(self, message_id: str, login: str | None = None) -> tuple[Known, ...]:
        """Return what is known of a message id, of each login or of this one."""
        try:
            keys = self._keys(message_id) if login is None else [Key(login, message_id)]
            found = [self._message(key) for key in sorted(keys)]
        except redis.RedisError as error:
            raise LedgerTrouble(f"Redis: {without_login(error, self._url)}") from error
        return tuple(each for each in found if each is not None)

    def close(self) -> None:
        """Disconnect."""
        self._redis.close()

    def _keys(self, message_id: str) -> Iterable[Key]:
        begin = f"{self._url.prefix}message:"
        pattern = f"{GLOB.sub(_escaped, begin)}*/{GLOB.sub(_escaped, message_id)}"
        for name in self._redis.scan_iter(pattern, KEYS_AT_ONCE):
            login, _slash, found = (
                name.decode("utf-8", "surrogatepass").removeprefix(begin).partition("/")
            )
            # An id with a slash ends like a shorter one.
            if found == message_id:
                yield Key(unquote(login), message_id)

    def _message(self, key: Key) -> Known | None:
        name = f"{self._url.prefix}{name_of(key)}"
        with self._redis.pipeline() as asked:
            asked.time()
            asked.get(f"{self._url.prefix}pulse")
            asked.zrange(f"{self._url.prefix}owners", 0, -1, withscores=True)
            asked.pttl(name)
            asked.hgetall(name)
            (second, rest), pulse, owners, left_ms, fields = cast("Any", asked.execute())
        message: Message = {
            name.decode("utf-8", "surrogatepass"): text for name, text in fields.items()
        }
        message.pop(STAMP, None)
        if not message:
            return None
        now_ms = second * 1000 + rest // 1000
        living = _living(owners, now_ms, int(pulse or now_ms))
        changed = self._changed(now_ms, left_ms)
        stored = {name: Stored.parse(text) for name, text in sorted(message.items())}
        fingerprint = next(iter(stored.values())).fingerprint
        return Known(
            key,
            fingerprint,
            tuple(_recipient(name, each, living, changed) for name, each in stored.items()),
            int(cast("Any", self._redis.get(f"{self._url.prefix}deaths:{fingerprint.hex()}") or 0)),
        )

    def _changed(self, now_ms: int, left_ms: int) -> date | None:
        """Return the day of a message's last change: its life began anew at that moment.

        None where it has more to live than we would give it: who wrote it has another retention.
        """
        past = self._life - timedelta(milliseconds=left_ms)
        if left_ms < 0 or past < timedelta():
            return None
        return (datetime.fromtimestamp(now_ms / 1000, UTC) - past).date()


def _living(owners: list[tuple[bytes, float]], now_ms: int, pulse_ms: int) -> set[str]:
    """Return who lives. While nobody renewed, it was Redis that was away, and no lease ended."""
    was_away = now_ms < pulse_ms or now_ms - pulse_ms > SILENCE / timedelta(milliseconds=1)
    since_ms = pulse_ms if was_away else now_ms
    return {name.decode() for name, until_ms in owners if until_ms >= since_ms}


def _recipient(name: str, stored: Stored, living: set[str], changed: date | None) -> KnownRecipient:
    holder = Holder.NOBODY
    if stored.ticket != NOBODY:
        holder = Holder.LIVING if stored.owner in living else Holder.ENDED
    return KnownRecipient(name, stored.generation, stored.state, holder, stored.note, changed)


def _escaped(found: re.Match[str]) -> str:
    return f"\\{found[1]}"
