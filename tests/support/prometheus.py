"""Two workers whose figures a real Prometheus scrapes, and mail of every kind through them."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from dev.monitoring import monitoring
from dev.prometheus import Prometheus
from publisher_lib.routing import Lane
from tests.support.broker import VirtualHost
from tests.support.consumer_process import ConsumerProcess, consuming, wait_until
from tests.support.smtp_script import hang_up
from tests.support.smtp_server import SmtpServer, smtp_server
from tests.support.traffic import (
    NONE,
    Expected,
    Fate,
    Sent,
    after_those,
    at_once,
    expected,
    in_doubt,
    relay_rules,
)

WORKERS: Final = 2
SEEN_SECONDS: Final = 30.0
"""Longest from an event to its figure: a write, a scrape, and a busy machine."""

ALIVE: Final = "abs(time() - hopmail_heartbeat_timestamp_seconds) < bool 25"
"""As the recording rule `hopmail:worker_alive` has it."""


@dataclass
class Observed:
    """What runs. `down_at` is when the relay was away and Prometheus knew it (Unix seconds)."""

    vhost: VirtualHost
    relay: SmtpServer
    workers: Sequence[ConsumerProcess]
    prometheus: Prometheus
    sent: list[Sent] = field(default_factory=list)
    began_at: float = field(default_factory=time.time)
    down_at: float = 0.0

    @property
    def expected(self) -> Expected:
        """The figures that all that was sent must leave."""
        return expected(self.sent)

    def handled(self, message_id: str = "") -> list[dict[str, Any]]:
        """Return the log lines of handled deliveries, of all workers, of one message or all."""
        lines = [line for worker in self.workers for line in worker.events("handled")]
        return [line for line in lines if message_id in {"", line.get("message_id")}]

    def send(self, messages: Sequence[Sent]) -> None:
        """Publish messages, and wait until each of their deliveries was handled."""
        self.publish(messages)
        self.sent += messages
        count = self.expected.handled
        wait_until(lambda: len(self.handled()) >= count, 60, f"{count} handled")

    def publish(self, messages: Sequence[Sent]) -> None:
        """Publish messages, and do not wait."""
        for sent in messages:
            self.vhost.publish_raw(
                sent.octets, lane=sent.lane, message_id=sent.message_id, **sent.properties
            )

    def wait_for(self, query: str, value: float) -> None:
        """Wait until Prometheus has this value for a query."""
        wait_until(lambda: self.prometheus.value(query) == value, SEEN_SECONDS, query)

    def figures(
        self, query: str, labels: Sequence[str], at: float | None = None
    ) -> dict[tuple[str, ...], float]:
        """Return the values of a query by those of its series' labels."""
        found = self.prometheus.instant(query, at)
        return {tuple(one.labels[label] for label in labels): one.last for one in found}


@contextmanager
def observed(
    vhost: VirtualHost, folder: Path, *, broker_port: int | None = None
) -> Iterator[Observed]:
    """Run relay, workers, node_exporter and Prometheus for the length of a block."""
    metrics = folder / "metrics"
    metrics.mkdir()
    with ExitStack() as stack:
        relay = stack.enter_context(smtp_server(relay_rules()))
        workers = [
            stack.enter_context(
                consuming(
                    vhost.url,
                    relay.url_with(connect_timeout=1),
                    worker=number,
                    metrics_dir=metrics,
                    processes=WORKERS,
                )
            )
            for number in range(WORKERS)
        ]
        prometheus = stack.enter_context(
            monitoring(folder / "prometheus", metrics, broker_port=broker_port)
        )
        yield Observed(vhost, relay, workers, prometheus)


def send_all_kinds(scene: Observed) -> None:
    """Send mail of every kind, and note what must be counted of it."""
    scene.send(at_once())
    scene.send(after_those())
    for sent in in_doubt():
        scene.relay.script["END_OF_DATA"] = [hang_up()]
        scene.send([sent])
    due = datetime.now(UTC) + timedelta(seconds=3)
    _send_until_accepted(scene, Sent("not-due", fields={"send_at": due.isoformat()}))
    scene.relay.stop()
    away = Sent("relay-away", lane=Lane.BULK)
    scene.publish([away])
    scene.wait_for("max(hopmail_breaker_open)", 1)
    scene.down_at = time.time()
    scene.relay.start()
    _note_what_was_told(scene, away)


def _send_until_accepted(scene: Observed, sent: Sent) -> None:
    scene.publish([sent])
    _note_what_was_told(scene, sent)


def _note_what_was_told(scene: Observed, sent: Sent) -> None:
    """Take a message's fates from the log, once it was accepted: how many depends on the clock."""

    def is_accepted() -> bool:
        return any(line["outcome"] == "accepted" for line in scene.handled(sent.message_id))

    wait_until(is_accepted, 60, sent.message_id)
    fates = tuple((_fate(line),) for line in scene.handled(sent.message_id))
    assert len(fates) > 1
    scene.sent.append(replace(sent, deliveries=fates))


def _fate(line: Mapping[str, Any]) -> Fate:
    delay_seconds = line.get("delay_seconds")
    return Fate(
        line["outcome"],
        line["disposition"],
        line.get("stage", NONE),
        f"{line['code'] // 100}yz" if "code" in line else NONE,
        line.get("reason", ""),
        "" if delay_seconds is None else f"{delay_seconds:.0f}s",
    )
