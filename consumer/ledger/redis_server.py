"""The Redis that several hosts share: how it is called, and our lease on it."""

import itertools
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final, NoReturn
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from consumer.core.ledger import Key
from consumer.core.redis_url import RedisURL
from consumer.ledger import redis_scripts as scripts
from consumer.ledger.store import LedgerTrouble

LEASE: Final = timedelta(seconds=10)
"""How long an owner counts as alive after its last word. Who was stopped for longer finds its
claims taken, not its mails sent twice."""

SILENCE: Final = timedelta(seconds=4)
"""From every owner: then it was Redis that was away, and nobody's lease ends for that."""

RENEW_SECONDS: Final = 1.5
TIMEOUT_SECONDS: Final = 1.0
MARGIN: Final = timedelta(days=1)

ARGUMENTS: Final = ", with args beginning with"
HIDDEN: Final = "***"

STAMP: Final = ""
Message = dict[str, bytes]
"""By recipient, its entry; under the empty name, the message's stamp."""

Change = tuple[Key, bytes | str, Mapping[str, str]]
"""A message, what must hold for it to change (a stamp, a ticket), and its new entries."""


class Server:
    """Redis, as the owner `me` sees it. Thread-safe. Methods raise LedgerTrouble.

    A thread renews the lease until `close`. Entries live for longer than `retention`.
    """

    def __init__(self, url: RedisURL, me: str, retention: timedelta) -> None:
        self._me = me
        self._url = url
        self._prefix = url.prefix
        self._life = _ms(retention + MARGIN)
        self._redis = connection(url)
        self._scripts = {text: self._redis.register_script(text) for text in scripts.ALL}
        self._stamps = itertools.count()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep_lease, name="lease", daemon=True)
        self._thread.start()

    def renew(self) -> None:
        """Renew the lease, which finds out as well whether Redis can be written."""
        self._call(scripts.RENEW, [], [])

    def read(self, keys: Sequence[Key]) -> tuple[set[str], list[Message]]:
        """Return who lives, and what is known of each message."""
        living, messages = self._call(scripts.READ, keys, [])
        return {name.decode() for name in living}, [message_of(found) for found in messages]

    def grant(self, changes: Sequence[Change]) -> list[bool]:
        """Write each message's entries if its stamp is still the one read; say of which it was."""
        return [bool(done) for done in self._change(scripts.GRANT, changes)]

    def sending(self, key: Key, ticket: str, entries: Mapping[str, str]) -> bool:
        """Write a message's entries if this ticket holds all of them; say whether it did."""
        return bool(self._call(scripts.SENDING, [key], [ticket, *_pairs(entries)]))

    def end(self, changes: Sequence[Change]) -> None:
        """Write those entries of each message that its ticket holds."""
        self._change(scripts.END, changes)

    def settle(self, owner: str, in_hands: Iterable[bytes]) -> None:
        """End the lease of an owner that has died, and count what it had in hands, once."""
        names = [f"settled:{owner}", *(f"deaths:{each.hex()}" for each in in_hands)]
        keys = [self._prefix + name for name in ("owners", *names)]
        self._run(scripts.SETTLE, keys, [owner, self._life])

    def deaths(self, fingerprints: Sequence[bytes]) -> dict[bytes, int]:
        """Return how many owners died with each of these messages in hands."""
        keys = [f"{self._prefix}deaths:{each.hex()}" for each in fingerprints]
        try:
            found = self._redis.mget(keys)
        except redis.RedisError as error:
            self._give_up(error)
        return {each: int(count) for each, count in zip(fingerprints, found, strict=True) if count}

    def used_memory(self) -> int:
        """Return how many bytes Redis uses; it may not tell every login."""
        try:
            return int(self._redis.info("memory")["used_memory"])
        except (redis.RedisError, KeyError) as error:
            raise LedgerTrouble(
                f"Redis: it does not tell its size ({type(error).__name__})"
            ) from error

    def close(self) -> None:
        """End the lease, if Redis can be told, and disconnect."""
        self._closing.set()
        self._thread.join()
        with suppress(redis.RedisError):
            self._redis.zrem(f"{self._prefix}owners", self._me)
        self._redis.close()

    def _keep_lease(self) -> None:
        while not self._closing.wait(RENEW_SECONDS):
            # The ledger's own calls tell of the trouble.
            with suppress(LedgerTrouble):
                self.renew()

    def _change(self, script: str, changes: Sequence[Change]) -> Any:
        arguments: list[str | bytes | int] = []
        for _key, condition, entries in changes:
            arguments += [condition, len(entries), *_pairs(entries)]
        return self._call(script, [key for key, *_rest in changes], arguments)

    def _call(
        self, script: str, messages: Sequence[Key], arguments: Sequence[str | bytes | int]
    ) -> Any:
        names = ("owners", "pulse", *map(name_of, messages))
        head: list[str | bytes | int] = [self._me, _ms(LEASE), _ms(SILENCE)]
        if script not in {scripts.RENEW, scripts.READ}:
            head += [self._life, f"{self._me}.{next(self._stamps)}"]
        return self._run(script, [self._prefix + name for name in names], [*head, *arguments])

    def _run(self, script: str, keys: list[str], arguments: list[str | bytes | int]) -> Any:
        if self._closing.is_set():
            raise LedgerTrouble("it is closed")
        try:
            return self._scripts[script](keys, arguments)
        except redis.RedisError as error:
            self._give_up(error)

    def _give_up(self, error: redis.RedisError) -> NoReturn:
        # After a failover the same name may lead to another server.
        self._redis.connection_pool.disconnect(inuse_connections=False)
        raise LedgerTrouble(f"Redis: {without_login(error, self._url)}") from error


def connection(url: RedisURL) -> redis.Redis:
    """Return a client that fails within a second or two, whatever is wrong."""
    return redis.Redis(
        host=url.host,
        port=url.port,
        db=url.database,
        username=url.user,
        password=url.password,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        # Once, at once: a kept connection may have been closed since.
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        protocol=2,
        encoding_errors="surrogatepass",
        client_name="hopmail",
        ssl=url.tls,
        ssl_ca_certs=url.cafile,
    )


def without_login(error: redis.RedisError, url: RedisURL) -> str:
    """Return what Redis said, without user and password and without a command's arguments.

    One that does not know a command repeats them, cut off somewhere.
    """
    text = str(error).partition(ARGUMENTS)[0]
    for secret in sorted(filter(None, (url.user, url.password)), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def _ms(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)


def name_of(key: Key) -> str:
    """Return what a message's key in Redis is called after the prefix."""
    # No login has a slash then, so that no two messages share a name.
    return f"message:{quote(key.login, safe='')}/{key.message_id}"


def _pairs(entries: Mapping[str, str]) -> Iterable[str]:
    return itertools.chain.from_iterable(entries.items())


def message_of(found: Sequence[bytes]) -> Message:
    """Return a hash of Redis, its fields and values in turn, as a message."""
    names = (name.decode("utf-8", "surrogatepass") for name in found[::2])
    return dict(zip(names, found[1::2], strict=True))
