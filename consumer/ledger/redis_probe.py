"""Whether a Redis keeps what it is told."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import redis

from consumer.core.redis_url import RedisURL
from consumer.ledger.probe import Finding
from consumer.ledger.redis_server import connection, without_login

OLDEST: Final = 5
"""From this major version on a script may read the clock and write
(https://redis.io/docs/latest/develop/programmability/eval-intro/)."""

WANTED: Final = {
    "maxmemory-policy": ("noeviction", "a full Redis would forget what was sent"),
    "appendonly": ("yes", "a Redis that restarts would forget what was sent"),
    "appendfsync": ("always", "a Redis that crashes would forget its last second"),
}
"""By parameter, its value and what else would happen."""


def probe_redis(url: RedisURL) -> Iterator[Finding]:
    """Log in, write one key that goes by itself, and read how it is set up."""
    client = connection(url)
    try:
        info = cast("Mapping[str, Any]", client.info())
        client.set(f"{url.prefix}probe", 1, px=1000)
        yield _version(url, str(info["redis_version"]))
        for name, (value, else_) in WANTED.items():
            yield _parameter(name, value, else_, _value(client, info, name))
    except redis.RedisError as error:
        said = without_login(error, url)
        yield Finding(
            good=False, text=f"{url}: {said}; check HOPMAIL_LEDGER_URL and that Redis runs there"
        )
    finally:
        client.close()


def _version(url: RedisURL, version: str) -> Finding:
    if int(version.partition(".")[0]) < OLDEST:
        return Finding(good=False, text=f"{url}: Redis {version} is too old; {OLDEST}.0 is needed")
    return Finding(good=True, text=f"{url}: Redis {version}, login accepted, can be written")


def _value(client: redis.Redis, info: Mapping[str, Any], name: str) -> str | None:
    """Return a parameter's value; None where it is not told, as hosted ones do not."""
    try:
        told = cast("Mapping[str, str]", client.config_get(name))
    except redis.ResponseError:
        told = {"appendonly": "yes" if info.get("aof_enabled") else "no"}
        told |= {"maxmemory-policy": info.get("maxmemory_policy", "")}
    return told.get(name) or None


def _parameter(name: str, wanted: str, else_: str, found: str | None) -> Finding:
    if found == wanted:
        return Finding(good=True, text=f"Redis' {name} is {wanted}")
    if found is None:
        return Finding(
            good=True,
            text=f"Redis' {name} could not be verified: it does not tell; it must be {wanted},"
            f" or {else_}",
        )
    return Finding(
        good=False,
        text=f"Redis' {name} is {found}, so {else_}; set `{name} {wanted}` in redis.conf",
    )
