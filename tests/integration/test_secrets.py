"""No command, log, figure or file of ours ever holds a password of the URLs it was given."""

import base64
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
import typer

from consumer.cli.app import app
from consumer.core.disposition import Reason
from consumer.core.seal_keys import OPEN, OpenKey
from publisher_lib import NotPublished, Publisher
from tests.cli.command import one_after_the_other
from tests.cli.supervised import supervised, wait_consuming
from tests.publisher.emails import as_mapping, email
from tests.support.broker import VirtualHost
from tests.support.consumer_process import ConsumerProcess, consuming, wait_until
from tests.support.dead_letters import bury, dead_letter
from tests.support.redis_server import redis_server
from tests.support.secrets import files_with, found_in, password
from tests.support.smtp_server import smtp_server
from tests.support.smtp_sink import free_port

BROKER: Final = "BrokerSecretQ41"
RELAY: Final = "RelaySecretQ42"
REDIS: Final = "RedisSecretQ43"
OPEN_KEY: Final = OpenKey(bytes(range(32))).to_text()
STEMS: Final = (BROKER, RELAY, REDIS, OPEN_KEY[len(OPEN) : -1])
LASTING: Final = {("consume",), ("run",)}
"""Tried by tests of their own."""

ARGUMENTS: Final[Mapping[tuple[str, ...], tuple[str, ...]]] = {
    ("classify",): ("550 5.1.1 no", "--stage", "rcpt"),
    ("deadletters", "edit"): ("m-1", "--set", "subject=Mended", "--yes"),
    ("deadletters", "export"): ("-",),
    ("deadletters", "import"): ("-",),
    ("deadletters", "keygen"): ("/nowhere/open.keys",),
    ("deadletters", "purge"): ("--all", "--yes"),
    ("deadletters", "replay"): ("m-2", "--yes"),
    ("deadletters", "resolve"): ("m-3", "--resend"),
    ("deadletters", "show"): ("m-1", "--body"),
    ("ledger", "backup"): ("/nowhere/ledger.sqlite3",),
    ("ledger", "restore"): ("/nowhere/ledger.sqlite3",),
    ("log-level",): ("DEBUG",),
    ("lookup",): ("m-1",),
    ("pause",): ("--reason", "a test"),
    ("send",): ("--to=a@b.example", "--from=a@b.example", "--subject=Hi", "--text=Hello"),
    ("validate",): ("/nowhere/email.json",),
}
"""What commands need to get to their work."""

OPENS_AS_LIST_DOES: Final = frozenset(
    ("deadletters", name) for name in ("edit", "export", "import", "purge", "replay", "show")
)
"""Tried where all is well: that takes its time where the broker is away."""

URLS: Final = ("amqp_url", "smtp_url", "ledger_url")


@dataclass(frozen=True)
class Site:
    """Where broker, relay and Redis are; the settings tell a command so."""

    vhost: VirtualHost
    relay_port: int
    redis_port: int
    folder: Path

    def settings(self, suffix: str = "") -> dict[str, Any]:
        """Return the settings; `suffix` makes the passwords wrong."""

        def login(name: str, stem: str) -> str:
            return f"{name}:{quote(password(stem) + suffix, safe='')}"

        host = self.vhost.broker
        name = f"hopmail-{self.vhost.name}"
        relay = f"{login('relay', RELAY)}@127.0.0.1:{self.relay_port}"
        return {
            "amqp_url": f"amqp://{login(name, BROKER)}@{host.host}:{host.port}/{self.vhost.name}",
            "smtp_url": f"smtp://{relay}?tls=none&insecure_auth=yes",
            "ledger_url": f"redis://{login('', REDIS)}@127.0.0.1:{self.redis_port}/0",
            "deadletter_open_keys": OPEN_KEY,
            "state_dir": self.folder / "state",
            "log_dir": self.folder / "log",
            "log_level": "DEBUG",
            "log_format": "json",
            "retry_delays": "1s,2s",
        }


@pytest.fixture
def site(vhost: VirtualHost, tmp_path: Path) -> Iterator[Site]:
    """Run relay and Redis, and have the consumer's login at the broker take its secret."""
    vhost.declare_topology()
    bury(
        vhost,
        dead_letter("m-1"),
        dead_letter("m-2"),
        dead_letter("m-3", Reason.IN_DOUBT),
    )
    vhost.broker.request(
        "PUT", f"users/hopmail-{vhost.name}", {"password": password(BROKER), "tags": ""}
    )
    (tmp_path / "redis").mkdir()
    with (
        smtp_server(users={"relay": password(RELAY)}) as relay,
        redis_server(tmp_path / "redis", "--requirepass", password(REDIS)) as redis,
    ):
        yield Site(vhost, relay.port, redis.port, tmp_path / "site")


def commands() -> list[tuple[str, ...]]:
    """Return the words of every command there is."""

    def below(group: Any, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from below(command, (*words, name))
            else:
                yield (*words, name)

    return [words for words in below(typer.main.get_command(app), ()) if words not in LASTING]


def run(listed: list[tuple[str, ...]], settings: Mapping[str, Any]) -> dict[str, str]:
    """Run commands as the program does, and return all that each said."""
    lines = [(*words, *ARGUMENTS.get(words, ())) for words in listed]
    said = one_after_the_other(lines, **settings)
    return {" ".join(words): text for words, (_code, text) in zip(listed, said, strict=True)}


def states(site: Site) -> dict[str, dict[str, Any]]:
    """Return settings by what is wrong with them."""
    good = site.settings()
    return {
        "good": good,
        "wrong passwords": site.settings(suffix="x"),
        "away": good | {name: _elsewhere(good[name]) for name in URLS},
        "malformed": good
        | {
            "amqp_url": f"amqp://a:{password(BROKER)}@h",
            "smtp_url": f"smtp://a:{RELAY}@h:x?password={RELAY}",
            "ledger_url": f"redis://a:{REDIS}@h/x?password={REDIS}",
            "deadletter_open_keys": f"{OPEN_KEY[:-1]}!",
        },
        "in a wrong place": good
        | {
            "log_level": good["amqp_url"],
            "max_age": good["smtp_url"],
            "deadletter_seal_key": OPEN_KEY,
        },
    }


def _elsewhere(url: object) -> str:
    """Return the URL with a port where nobody listens."""
    return re.sub(r"@([^:/]+):[0-9]+", rf"@\g<1>:{free_port()}", str(url))


@pytest.mark.parametrize(
    "state", ["good", "wrong passwords", "away", "malformed", "in a wrong place"]
)
def test_no_command_tells_a_secret(site: Site, state: str) -> None:
    listed = [words for words in commands() if state == "good" or words not in OPENS_AS_LIST_DOES]
    said = run(listed, states(site)[state])

    told = {command: found_in(text.encode(), STEMS) for command, text in said.items()}
    assert {command: stems for command, stems in told.items() if stems} == {}
    assert len(said["check"].splitlines()) > 1, "it says something"
    assert not [command for command, text in said.items() if "Usage: " in text], "each has its way"
    assert files_with(site.folder, STEMS) == {}


def test_the_daemon_tells_no_secret_while_all_is_well(site: Site) -> None:
    settings = site.settings()
    url, smtp_url = settings.pop("amqp_url"), settings.pop("smtp_url")
    with consuming(url, smtp_url, **settings) as process:
        site.vhost.publish_raw(b"{}", message_id="invalid")
        site.vhost.publish_raw(email().model_dump_json(exclude_none=True).encode(), message_id="m")
        wait_until(lambda: process.handled("m") and process.handled("invalid"), what="both")
        process.terminate()

    assert process.handled("m")[0]["outcome"] == "accepted"
    assert process.events("login") or "AUTH" in "".join(process.raw), "the login was traced"
    assert found_in("".join(process.raw).encode(), STEMS) == set()
    assert files_with(site.folder, STEMS) == {}


def test_the_daemon_tells_no_secret_while_nothing_is(site: Site) -> None:
    settings = site.settings(suffix="x") | {"ledger_url": "none"}
    url, smtp_url = settings.pop("amqp_url"), settings.pop("smtp_url")
    process = ConsumerProcess(url, smtp_url, **settings)
    try:
        wait_until(lambda: process.events("broker not ready"), 20, "the refusal of the broker")
    finally:
        process.kill()
    refused = site.settings()["amqp_url"]
    with consuming(refused, smtp_url, **settings) as other:
        site.vhost.publish_raw(email().model_dump_json(exclude_none=True).encode(), message_id="m")
        wait_until(lambda: other.events("relay in trouble"), 20, "the refusal of the relay")

    assert found_in("".join((*process.raw, *other.raw)).encode(), STEMS) == set()
    assert files_with(site.folder, STEMS) == {}


def test_the_supervisor_and_its_arguments_tell_no_secret(site: Site, tmp_path: Path) -> None:
    with supervised(tmp_path / "output", processes=1, **site.settings()) as running:
        wait_consuming(running, 1)
        arguments = b"".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in running.tree())
        assert running.terminate() == 0

    assert b"consume" in arguments
    assert found_in(arguments + (tmp_path / "output").read_bytes(), STEMS) == set()
    assert files_with(site.folder, STEMS) == {}


def test_the_library_tells_no_secret(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    url = str(site.settings(suffix="x")["amqp_url"])

    with (
        Publisher(url, timeout=timedelta(seconds=2)) as publisher,
        pytest.raises(NotPublished) as refusal,
    ):
        publisher.publish(as_mapping())

    told = f"{publisher!r} {publisher} {refusal.value!r} {refusal.value} {caplog.text}"
    assert "refused the login" in told
    assert found_in(told.encode(), STEMS) == set()


@pytest.mark.parametrize("before", ["", "0", "\0relay\0", "ab"])
def test_what_is_looked_for_would_be_found(before: str) -> None:
    """In each form in which a password may come out."""
    secret = f"{before}{password(BROKER)}"

    for text in (secret, quote(secret), repr(secret), secret.encode().hex(), secret.upper()):
        assert found_in(text.encode(), STEMS) == {BROKER}
    assert found_in(base64.b64encode(secret.encode()), STEMS) == {BROKER}
