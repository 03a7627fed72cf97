"""What a real Prometheus says of the workers equals what was sent."""

import signal
import socket
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.support.broker import Broker, VirtualHost
from tests.support.consumer_process import wait_until
from tests.support.prometheus import (
    ALIVE,
    SEEN_SECONDS,
    WORKERS,
    Observed,
    observed,
    send_all_kinds,
)
from tests.support.traffic import Expected

HOST: Final = socket.gethostname()
DEAD_AFTER_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Counted:
    """A counter, the labels it is summed by, and what it must show for them."""

    name: str
    labels: tuple[str, ...]
    shown: Callable[[Expected], Mapping[tuple[str, ...], float]]
    where: str = ""

    @property
    def query(self) -> str:
        return f"sum by ({', '.join(self.labels)}) ({self.name}{self.where}) > 0"


COUNTED: Final = (
    Counted("hopmail_deliveries_total", ("lane", "disposition"), lambda sent: sent.deliveries),
    Counted("hopmail_recipients_total", ("lane", "outcome"), lambda sent: sent.recipients),
    Counted(
        "hopmail_outcomes_total", ("outcome", "stage", "code_class"), lambda sent: sent.outcomes
    ),
    Counted("hopmail_dead_letters_total", ("lane", "reason"), lambda sent: sent.dead_letters),
    Counted("hopmail_retries_total", ("lane", "outcome"), lambda sent: sent.retries),
    Counted("hopmail_acceptance_latency_seconds_count", ("lane",), lambda sent: sent.latencies),
    Counted(
        "hopmail_acceptance_latency_seconds_bucket",
        ("lane",),
        lambda sent: sent.latencies,
        where='{le=~"300(\\\\.0)?"}',
    ),
    Counted("hopmail_handling_seconds_count", (), lambda sent: {(): sent.handled}),
    Counted("hopmail_received_total", ("lane", "redelivered"), lambda sent: sent.received),
    Counted("hopmail_retry_steps_total", ("lane", "delay"), lambda sent: sent.retry_steps),
    Counted(
        "hopmail_transactions_total",
        ("outcome",),
        lambda sent: sent.transactions,
        where='{outcome!="unreachable"}',
    ),
    Counted("hopmail_broker_connections_total", (), lambda _: {(): WORKERS}),
    Counted(
        "hopmail_queue_messages",
        ("kind",),
        lambda sent: {("dead",): sum(sent.dead_letters.values())},
    ),
)


@dataclass(frozen=True)
class State:
    """A query of gauges that has one series, and its value in the end."""

    name: str
    query: str
    value: float


STATES: Final = (
    State("hopmail_broker_connected", "sum(hopmail_broker_connected)", WORKERS),
    State("hopmail_breaker_open", "sum(hopmail_breaker_open)", 0),
    State(
        "hopmail_breaker_open_since_timestamp_seconds",
        "sum(hopmail_breaker_open_since_timestamp_seconds)",
        0,
    ),
    State("hopmail_ledger_in_trouble", "sum(hopmail_ledger_in_trouble)", 0),
    State("hopmail_build_info", 'sum(hopmail_build_info{python=~"3.+"})', WORKERS),
    State("hopmail_heartbeat_timestamp_seconds", f"sum({ALIVE})", WORKERS),
    State("hopmail_metrics_write_failures_total", "sum(hopmail_metrics_write_failures_total)", 0),
    State(
        "hopmail_process_resident_memory_bytes",
        "count(hopmail_process_resident_memory_bytes > 10e6)",
        WORKERS,
    ),
    State(
        "hopmail_process_cpu_seconds_total",
        "count(hopmail_process_cpu_seconds_total > 0.1)",
        WORKERS,
    ),
    State("hopmail_process_open_fds", "count(hopmail_process_open_fds > 5)", WORKERS),
    State(
        "hopmail_process_start_time_seconds",
        "count(time() - hopmail_process_start_time_seconds < 3600)",
        WORKERS,
    ),
    State("hopmail_in_flight", "sum(hopmail_in_flight)", 0),
    State("hopmail_prefetch", 'sum(hopmail_prefetch{lane="transactional"})', WORKERS * 64),
    State("hopmail_prefetch", 'sum(hopmail_prefetch{lane="bulk"})', WORKERS * 16),
    State("hopmail_oldest_held_timestamp_seconds", "sum(hopmail_oldest_held_timestamp_seconds)", 0),
    State("hopmail_sessions_open", "sum(hopmail_sessions_open) <= bool 8", 1),
    State("hopmail_consuming_held", "sum(hopmail_consuming_held)", 0),
    State("hopmail_lane_paused", "sum(hopmail_lane_paused)", 0),
    State(
        "hopmail_transaction_seconds_count",
        "sum(hopmail_transaction_seconds_count)"
        ' >= bool sum(hopmail_transactions_total{outcome!="unreachable"})',
        1,
    ),
    State("hopmail_queue_consumers", 'min(hopmail_queue_consumers{kind="lane"})', WORKERS),
    State(
        "hopmail_queue_oldest_timestamp_seconds",
        'time() - min(hopmail_queue_oldest_timestamp_seconds{kind="dead"}) < bool 600',
        1,
    ),
    State(
        "hopmail_queue_oldest_timestamp_seconds",
        'sum(hopmail_queue_oldest_timestamp_seconds{kind!="dead"})',
        0,
    ),
    State(
        "hopmail_queue_sample_timestamp_seconds",
        "time() - max(hopmail_queue_sample_timestamp_seconds) < bool 60",
        1,
    ),
    State("hopmail_ledger_bytes", "min(hopmail_ledger_bytes) > bool 4096", 1),
    State("hopmail_ledger_write_seconds", "sum(hopmail_ledger_write_seconds_count) > bool 0", 1),
    State("hopmail_processes", "max(hopmail_processes)", 1),
)

WHILE_THE_RELAY_IS_AWAY: Final = (
    State("hopmail_breaker_open", "max(hopmail_breaker_open)", 1),
    State(
        "hopmail_breaker_open_since_timestamp_seconds",
        'time() - max(hopmail_breaker_open_since_timestamp_seconds{stage="CONNECT"}) < bool 120',
        1,
    ),
    State("hopmail_in_flight", 'sum(hopmail_in_flight{lane="bulk"})', 1),
    State(
        "hopmail_oldest_held_timestamp_seconds",
        'count(hopmail_oldest_held_timestamp_seconds{lane="bulk"} > 0)',
        1,
    ),
    State("hopmail_consuming_held", 'max(hopmail_consuming_held{by="relay"})', 1),
)


@pytest.fixture(scope="module")
def scene(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    vhost = VirtualHost(broker, f"t{uuid.uuid4().hex[:12]}")
    vhost.create()
    try:
        with observed(vhost, tmp_path_factory.mktemp("scrape")) as found:
            send_all_kinds(found)
            count = found.expected.handled
            found.wait_for("sum(hopmail_handling_seconds_count)", count)
            yield found
    finally:
        vhost.delete()


@pytest.mark.parametrize("row", COUNTED, ids=lambda row: row.name)
def test_a_counter_equals_what_was_sent(scene: Observed, row: Counted) -> None:
    wanted = {labels: value for labels, value in row.shown(scene.expected).items() if value}

    with suppress(AssertionError):
        wait_until(lambda: scene.figures(row.query, row.labels) == wanted, SEEN_SECONDS)
    assert scene.figures(row.query, row.labels) == wanted


@pytest.mark.parametrize("row", STATES, ids=lambda row: row.query)
def test_a_state_is_as_it_is(scene: Observed, row: State) -> None:
    scene.wait_for(row.query, row.value)


@pytest.mark.parametrize("row", WHILE_THE_RELAY_IS_AWAY, ids=lambda row: row.query)
def test_a_state_was_as_it_was_while_the_relay_was_away(scene: Observed, row: State) -> None:
    assert scene.prometheus.value(row.query, scene.down_at) == row.value


def test_the_latencies_are_those_of_the_log(scene: Observed) -> None:
    told: Counter[str] = Counter()
    for line in scene.handled():
        told[line["lane"]] += line.get("latency_seconds") or 0

    found = scene.figures("sum by (lane) (hopmail_acceptance_latency_seconds_sum)", ["lane"])

    assert found == {(lane,): pytest.approx(seconds, abs=0.05) for lane, seconds in told.items()}


def test_the_last_acceptance_is_of_this_run(scene: Observed) -> None:
    found = scene.figures("max by (lane) (hopmail_last_acceptance_timestamp_seconds)", ["lane"])

    assert found.keys() == {("transactional",), ("bulk",)}
    # The last mail of all was the one that waited for the relay.
    assert scene.began_at < found["transactional",] < scene.down_at < found["bulk",] < time.time()


def test_the_log_lines_are_counted(scene: Observed) -> None:
    told = Counter((line["level"],) for worker in scene.workers for line in worker.lines)
    query = "sum by (level) (hopmail_log_messages_total) > 0"

    wait_until(lambda: scene.figures(query, ["level"]) == told, SEEN_SECONDS, f"{told}")


def test_node_exporter_takes_every_line_of_both_files(scene: Observed) -> None:
    assert scene.prometheus.value("node_textfile_scrape_error") == 0
    assert scene.prometheus.value("count(node_textfile_mtime_seconds)") == WORKERS
    dropped = "sum(promhttp_metric_handler_errors_total)"
    assert scene.prometheus.value(dropped) == 0


def test_a_killed_worker_is_seen_as_dead_and_its_figures_do_not_hide_it(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    shown = f"hopmail_broker_connected and on (worker) ({ALIVE} == 1)"
    with observed(vhost, tmp_path) as scene:
        scene.wait_for(f"sum({ALIVE})", WORKERS)
        scene.workers[1].signal(signal.SIGKILL)
        killed_at = time.time()
        scene.workers[1].wait(10)
        wait_until(
            lambda: time.time() > killed_at + DEAD_AFTER_SECONDS, DEAD_AFTER_SECONDS + 10, "time"
        )

        found = scene.figures(ALIVE, ["worker"], killed_at + DEAD_AFTER_SECONDS)
        assert found == {(f"{HOST}-0",): 1, (f"{HOST}-1",): 0}
        assert scene.prometheus.value("count(hopmail_broker_connected == 1)") == WORKERS
        assert scene.figures(shown, ["worker"]) == {(f"{HOST}-0",): 1}


def test_of_a_worker_that_was_stopped_nothing_is_shown(vhost: VirtualHost, tmp_path: Path) -> None:
    with observed(vhost, tmp_path) as scene:
        scene.wait_for(f"sum({ALIVE})", WORKERS)

        assert scene.workers[1].terminate() == 0

        scene.wait_for('count({__name__=~"hopmail_.+", worker=~".+-1"}) or vector(0)', 0)
        assert scene.figures(ALIVE, ["worker"]) == {(f"{HOST}-0",): 1}
