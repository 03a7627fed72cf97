"""What a worker wrote is read back as it was."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from consumer.core.outcome import Accepted, Reply, Stage
from consumer.core.trouble import Trouble
from consumer.ops.breaker_figures import BreakerFigures
from consumer.ops.metrics import Metrics
from consumer.ops.setting_figures import show_cautions
from consumer.ops.worker_files import oldest_by_queue, read_files, seen
from publisher_lib.routing import Lane
from tests.ops.deliveries import handled
from tests.support.every_figure import RELAY, write_every_figure


def test_a_worker_is_seen_as_it_wrote(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, 3, processes=4, relays=[RELAY])
    metrics.watch(is_connected=lambda: True, is_ledger_in_trouble=lambda: True)
    began = datetime(2026, 11, 28, 12, tzinfo=UTC)
    BreakerFigures(metrics.registry, lambda: {RELAY: Trouble(began, Stage.AUTH), "other:25": None})
    show_cautions(metrics.registry, {"HOPMAIL_A": True, "HOPMAIL_B": False})
    metrics.heartbeat()
    for _ in range(5):
        metrics.record(handled(Accepted(Reply(250))))
    metrics.record(handled(body=b"{", lane=Lane.BULK))
    time.sleep(0.5)
    metrics.write()

    (file,) = read_files(tmp_path)
    found = seen(file)

    now = datetime.now(UTC)
    assert found.name.endswith("-3")
    assert found.host == found.name.removesuffix("-3")
    assert found.wanted == 4
    assert found.is_connected
    assert found.is_ledger_in_trouble
    assert found.relays_in_trouble == (RELAY,)
    assert found.troubles == {RELAY: Trouble(began, Stage.AUTH)}
    assert found.cautions == ("HOPMAIL_A",)
    assert found.dead_letters == {"invalid_json": 1}
    assert 0 < found.per_second <= 12
    assert list(found.last_acceptance) == [Lane.TRANSACTIONAL]
    for moment in (found.heartbeat, found.last_acceptance[Lane.TRANSACTIONAL]):
        assert (now - moment).total_seconds() < 60


def test_a_worker_that_does_nothing_any_more_has_no_rate(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, 0)
    metrics.heartbeat()
    metrics.record(handled(Accepted(Reply(250))))
    metrics.write()

    metrics.write()

    (file,) = read_files(tmp_path)
    assert seen(file).per_second == 0


def test_every_figure_that_can_be_written_can_be_read(tmp_path: Path) -> None:
    write_every_figure(tmp_path)

    assert read_files(tmp_path) == (), "no heartbeat yet: it is no worker that was ever alive"
    assert oldest_by_queue(()) == {}


HEARTBEAT = 'hopmail_heartbeat_timestamp_seconds{worker="a-0"} 1\n'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hopmail_heartbeat_timestamp_seconds{",
        "\udcff",
        "hopmail_heartbeat_timestamp_seconds 1\n",
        f'{HEARTBEAT}hopmail_last_acceptance_timestamp_seconds{{lane="third"}} 1\n',
        f"{HEARTBEAT}hopmail_last_acceptance_timestamp_seconds 1\n",
        f"{HEARTBEAT}hopmail_processes NaN\n",
        f"{HEARTBEAT}hopmail_process_start_time_seconds 1e99\n",
    ],
)
def test_a_file_that_cannot_be_read_is_passed_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "hopmail-a-0.prom").write_bytes(text.encode(errors="surrogateescape"))
    (tmp_path / "another.prom").write_text("x 1\n")

    assert read_files(tmp_path) == ()
