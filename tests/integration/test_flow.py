"""What a real consumer with two relays tells of itself equals what was sent through it."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from publisher_lib.routing import PUBLISHED_AT_MS, Lane
from tests.support.broker import VirtualHost
from tests.support.consumer_process import ConsumerProcess, consuming, wait_until
from tests.support.smtp_script import Event, late, say
from tests.support.smtp_server import SmtpServer, smtp_server

SEEN_SECONDS: Final = 20.0
"""The file is written each 5 s."""

SLOW_SECONDS: Final = 12.0
AGE_SECONDS: Final = 100.0

LANES: Final = [{"lane": "transactional"}, {"lane": "bulk"}]
HOLDS: Final = [{"by": who} for who in ("relay", "ledger", "full", "stopping")]
OUTCOMES: Final = ("accepted", "refused", "unreachable", "in_doubt")
ACCEPTED: Final = {"outcome": "accepted"}


class Scene:
    """A consumer whose first relay is down, its file, and what is to be in there."""

    def __init__(self, stack: ExitStack, vhost: VirtualHost, folder: Path) -> None:
        self._vhost = vhost
        self._folder = folder
        self.first: SmtpServer = stack.enter_context(smtp_server())
        self.second: SmtpServer = stack.enter_context(smtp_server())
        self.first.stop()
        both = (self.first, self.second)
        urls = [server.url_with("", "127.0.0.1", data_timeout=60, timeout=60) for server in both]
        self.process: ConsumerProcess = stack.enter_context(
            consuming(vhost.url, ",".join(urls), metrics_dir=folder, smtp_sessions=3, prefetch=40)
        )

    def publish(
        self, name: str, lane: Lane = Lane.TRANSACTIONAL, age_seconds: float = 0.0, **more: str
    ) -> None:
        """Publish an email to `name`, which is its message id as well."""
        email = {
            "email_to": f"{name}@example.org",
            "email_from": "app@example.org",
            "subject": "Hello",
            "message": {"text": "Hello"},
            **more,
        }
        published_ms = int((time.time() - age_seconds) * 1000)
        self._vhost.publish_raw(
            json.dumps(email).encode(),
            lane=lane,
            message_id=name,
            headers={PUBLISHED_AT_MS: published_ms},
        )

    def wait_for(self, name: str, disposition: str = "ack") -> None:
        """Wait until a mail has come to this."""
        wait_until(
            lambda: disposition in {line["disposition"] for line in self.process.handled(name)},
            30,
            f"{disposition} of {name}",
        )

    def figure(self, name: str, **labels: str) -> float:
        """Return a figure of the file as it is now; its labels but the worker are all given."""
        [path] = self._folder.glob("*.prom")
        found = [
            sample.value
            for family in text_string_to_metric_families(path.read_text())
            for sample in family.samples
            if sample.name == f"hopmail_{name}"
            and {key: text for key, text in sample.labels.items() if key != "worker"} == labels
        ]
        assert len(found) == 1, (name, labels, found)
        return found[0]

    def wait_for_figure(self, wanted: float, name: str, **labels: str) -> None:
        """Wait until the file has this figure."""

        def has_come() -> bool:
            return self.figure(name, **labels) == wanted

        wait_until(has_come, SEEN_SECONDS, f"{wanted} of {name} {labels}")

    def counts(self, name: str, *labels: dict[str, str]) -> list[float]:
        """Return one family's figures."""
        return [self.figure(name, **each) for each in labels]


@pytest.fixture
def scene(vhost: VirtualHost, tmp_path: Path) -> Iterator[Scene]:
    """Return one whose first relay is known to be down: one mail has met it."""
    with ExitStack() as stack:
        found = Scene(stack, vhost, tmp_path)
        found.publish("opener")
        found.wait_for("opener")
        yield found


def place(server: SmtpServer) -> str:
    return f"127.0.0.1:{server.port}"


def by(label: str, *values: str) -> list[dict[str, str]]:
    return [{label: str(value)} for value in values]


def test_what_came_was_sent_and_waited_is_counted(scene: Scene) -> None:
    down, up = place(scene.first), place(scene.second)
    refusals = [say("451 4.7.1 later")] * 2

    def refuse_twice(argument: str) -> Event | None:
        return refusals.pop() if "twice@" in argument and refusals else None

    scene.second.script["RCPT"] = refuse_twice
    later = datetime.now(UTC) + timedelta(seconds=2)
    scene.publish("plain")
    scene.publish("in-bulk", Lane.BULK)
    scene.publish("twice")
    scene.publish("scheduled", Lane.BULK, send_at=later.isoformat())
    for name in ("plain", "in-bulk", "twice", "scheduled"):
        scene.wait_for(name)
    waits = [line["delay_seconds"] for line in scene.process.handled("scheduled")[:-1]]

    scene.wait_for_figure(len(scene.second.mails), "transactions_total", relay=up, **ACCEPTED)
    for lane in LANES:
        scene.wait_for_figure(0, "in_flight", **lane)
    assert waits
    assert {line.get("relay") for line in scene.process.events("handled") if "code" in line} == {up}
    steps = [{"lane": str(lane), "delay": delay} for lane in Lane for delay in ("1s", "2s")]
    assert scene.counts("retry_steps_total", *steps) == [1, 1, waits.count(1), waits.count(2)]
    assert scene.counts(
        "transactions_total", *({"relay": up, **word} for word in by("outcome", *OUTCOMES))
    ) == [5, 2, 0, 0]
    assert scene.counts(
        "transactions_total", *({"relay": down, **word} for word in by("outcome", *OUTCOMES))
    ) == [0, 0, 1, 0]
    assert scene.counts("transaction_seconds_count", *by("relay", up, down)) == [7, 0]
    came = [{"lane": str(lane), "redelivered": word} for lane in Lane for word in ("false", "true")]
    assert scene.counts("received_total", *came) == [5, 0, 2 + len(waits), 0]
    assert scene.counts("prefetch", *LANES) == [40, 10]
    assert scene.counts("oldest_held_timestamp_seconds", *LANES) == [0, 0]
    assert scene.counts("consuming_held", *HOLDS) == [0, 0, 0, 0]
    assert scene.figure("broker_connections_total") == 1


def test_what_a_slow_relay_has_not_answered_yet_is_held(scene: Scene) -> None:
    down, up = place(scene.first), place(scene.second)
    names = ("slow-1", "slow-2", "slow-3")
    scene.second.script["END_OF_DATA"] = late(SLOW_SECONDS, "250 2.0.0 queued")
    published_seconds = time.time()
    for name in names:
        scene.publish(name, age_seconds=AGE_SECONDS)

    scene.wait_for_figure(3, "in_flight", lane="transactional")
    oldest, of_bulk = scene.counts("oldest_held_timestamp_seconds", *LANES)
    assert oldest == pytest.approx(published_seconds - AGE_SECONDS, abs=5)
    assert of_bulk == 0
    sessions = scene.second.open_sessions
    assert scene.counts("sessions_open", *by("relay", up, down)) == [sessions, 0]
    assert sessions

    for name in names:
        scene.wait_for(name)
    scene.wait_for_figure(0, "in_flight", lane="transactional")
    assert scene.figure("transaction_seconds_sum", relay=up) >= 3 * SLOW_SECONDS


def test_why_nothing_is_consumed_and_each_reconnect_are_told(
    scene: Scene, vhost: VirtualHost
) -> None:
    up = place(scene.second)
    scene.second.stop()
    scene.publish("patient")
    scene.wait_for("patient", "pause")

    scene.wait_for_figure(1, "consuming_held", by="relay")
    assert scene.counts("consuming_held", *HOLDS) == [1, 0, 0, 0]
    assert scene.figure("in_flight", lane="transactional") == 1
    assert scene.figure("transactions_total", relay=up, outcome="unreachable") == 1
    assert scene.figure("sessions_open", relay=up) == 0

    vhost.close_connections()
    scene.wait_for_figure(2, "broker_connections_total")
    assert scene.figure("in_flight", lane="transactional") == 0, "the broker has it again"
    scene.second.start()
    scene.wait_for("patient")
    scene.wait_for_figure(2, "transactions_total", relay=up, **ACCEPTED)
    came = [{"lane": "transactional", **word} for word in by("redelivered", "false", "true")]
    assert scene.counts("received_total", *came) == [2, 1]
    assert scene.counts("consuming_held", *HOLDS) == [0, 0, 0, 0]
