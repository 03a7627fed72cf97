"""The figures of a worker, and the file node_exporter reads them from."""

import logging
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from consumer.core.disposition import Reason
from consumer.core.handled import Followup, Handled
from consumer.core.outcome import Accepted, InDoubt, Refused, Reply, Stage, Unreachable
from consumer.core.transaction import Transaction
from consumer.ops.metrics import Metrics
from consumer.ops.metrics_files import sweep, sweep_forgotten
from publisher_lib.routing import EXCHANGE, RETRY_EXCHANGE, Lane
from tests.ops.deliveries import EMAIL, every_outcome, handled
from tests.support.consumer_process import wait_until

OK = Reply(250, "2.0.0", "ok")
HOST = socket.gethostname()
RELAY = "relay.example.org:587"
OTHER = "other.example.org:25"
DOWN = Unreachable(Stage.CONNECT, "down")

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def path_of(folder: Path, worker: int = 0) -> Path:
    return folder / f"hopmail-{HOST}-{worker}.prom"


def samples(folder: Path, worker: int = 0) -> Samples:
    found: Samples = {}
    for family in text_string_to_metric_families(path_of(folder, worker).read_text()):
        for sample in family.samples:
            series = (sample.name, frozenset(sample.labels.items()))
            assert series not in found, f"twice: {series}"
            found[series] = sample.value
    return found


def value(folder: Path, name: str, **labels: str) -> float:
    wanted = frozenset({**labels, "worker": f"{HOST}-0"}.items())
    return samples(folder)[name, wanted]


def counted(folder: Path, name: str) -> dict[tuple[str, ...], float]:
    """Return a family's figures above zero, by their labels' values in the labels' order."""
    return {
        tuple(text for label, text in sorted(labels) if label != "worker"): figure
        for (found, labels), figure in samples(folder).items()
        if found == name and figure
    }


@pytest.fixture
def metrics(tmp_path: Path) -> Metrics:
    return Metrics(tmp_path, 0, relays=(RELAY, OTHER), delays=("30s", "2m"))


def record(metrics: Metrics, *records: Handled) -> None:
    for one in records:
        metrics.record(one)
    metrics.write()


def test_figures_equal_what_was_recorded(metrics: Metrics, tmp_path: Path) -> None:
    record(
        metrics,
        handled(Accepted(OK)),
        handled(Accepted(OK)),
        handled(Accepted(OK), lane=Lane.BULK),
        handled(Accepted(OK), Refused(Stage.RCPT, Reply(550))),
        handled(Refused(Stage.END_OF_DATA, Reply(451))),
        handled(Unreachable(Stage.CONNECT, "down")),
        handled(Unreachable(Stage.GREETING, "busy", Reply(421))),
        handled(InDoubt("lost")),
        handled(body=b"{", lane=Lane.BULK),
        handled(body=EMAIL | {"send_at": "2026-11-24T13:00:00Z"}),
    )

    assert counted(tmp_path, "hopmail_deliveries_total") == {
        ("ack", "transactional"): 2,
        ("ack", "bulk"): 1,
        ("dead_letter", "transactional"): 1,
        ("dead_letter", "bulk"): 1,
        ("retry", "transactional"): 3,
        ("pause", "transactional"): 2,
    }
    assert counted(tmp_path, "hopmail_recipients_total") == {
        ("transactional", "accepted"): 5,
        ("bulk", "accepted"): 2,
        ("transactional", "refused"): 3,
        ("transactional", "unreachable"): 4,
        ("transactional", "in_doubt"): 2,
        ("transactional", "not_due"): 2,
    }
    assert counted(tmp_path, "hopmail_outcomes_total") == {
        ("2yz", "accepted", "END_OF_DATA"): 4,
        ("5yz", "refused", "RCPT"): 1,
        ("4yz", "refused", "END_OF_DATA"): 1,
        ("none", "unreachable", "CONNECT"): 1,
        ("4yz", "unreachable", "GREETING"): 1,
        ("none", "in_doubt", "END_OF_DATA"): 1,
        ("none", "undecodable", "none"): 1,
        ("none", "not_due", "none"): 1,
    }
    assert counted(tmp_path, "hopmail_dead_letters_total") == {
        ("transactional", "refused"): 1,
        ("bulk", "invalid_json"): 1,
    }
    assert counted(tmp_path, "hopmail_retries_total") == {
        ("transactional", "refused"): 1,
        ("transactional", "in_doubt"): 1,
        ("transactional", "not_due"): 1,
    }
    assert value(tmp_path, "hopmail_handling_seconds_count") == 10


def test_every_copy_that_waits_counts_under_its_delay(metrics: Metrics, tmp_path: Path) -> None:
    aside = Followup(RETRY_EXCHANGE, "bulk.2m", {})
    to_its_lane = Followup(EXCHANGE, "bulk", {})
    for copy in (aside, to_its_lane):
        metrics.copied(Lane.BULK, copy)
    record(
        metrics,
        handled(Accepted(OK), Refused(Stage.RCPT, Reply(450))),
        handled(Refused(Stage.RCPT, Reply(450))),
        handled(Refused(Stage.RCPT, Reply(550))),
        handled(body=EMAIL | {"send_at": "2026-11-24T13:00:00Z"}),
    )

    assert counted(tmp_path, "hopmail_retry_steps_total") == {
        ("30s", "transactional"): 3,
        ("2m", "bulk"): 1,
    }


def test_each_relay_that_was_asked_counts_with_its_time(metrics: Metrics, tmp_path: Path) -> None:
    down, taken = Transaction(RELAY, DOWN, None), Transaction(OTHER, Accepted(OK), 0.75)
    record(
        metrics,
        replace(handled(Accepted(OK)), transactions=(down, taken)),
        replace(handled(Accepted(OK)), transactions=(taken,)),
        handled(body=b"{"),
    )

    assert counted(tmp_path, "hopmail_transactions_total") == {
        ("unreachable", RELAY): 1,
        ("accepted", OTHER): 2,
    }
    assert value(tmp_path, "hopmail_transaction_seconds_count", relay=RELAY) == 0
    assert value(tmp_path, "hopmail_transaction_seconds_sum", relay=OTHER) == 1.5
    name = "hopmail_transaction_seconds_bucket"
    assert value(tmp_path, name, relay=OTHER, le="0.5") == 0
    assert value(tmp_path, name, relay=OTHER, le="1.0") == 2


def test_latency_falls_into_its_bucket(metrics: Metrics, tmp_path: Path) -> None:
    record(metrics, handled(Accepted(OK)))

    def bucket(edge: str) -> float:
        return value(
            tmp_path, "hopmail_acceptance_latency_seconds_bucket", lane="transactional", le=edge
        )

    assert (bucket("10.0"), bucket("30.0"), bucket("+Inf")) == (0, 1, 1)
    assert value(
        tmp_path, "hopmail_acceptance_latency_seconds_sum", lane="transactional"
    ) == pytest.approx(12.5)


def test_the_last_acceptance_is_a_time_of_its_lane(metrics: Metrics, tmp_path: Path) -> None:
    record(metrics, handled(Accepted(OK), lane=Lane.BULK), handled(Refused(Stage.MAIL, Reply(450))))

    name = "hopmail_last_acceptance_timestamp_seconds"
    assert value(tmp_path, name, lane="transactional") == 0
    written = path_of(tmp_path).stat().st_mtime
    assert value(tmp_path, name, lane="bulk") == pytest.approx(written, abs=5)


def test_every_series_is_there_from_the_start(metrics: Metrics, tmp_path: Path) -> None:
    metrics.write()
    before = samples(tmp_path).keys()

    asked = tuple(
        Transaction(relay, outcome, 0.1)
        for relay in (RELAY, OTHER)
        for outcome in (Accepted(OK), Refused(Stage.MAIL, Reply(450)), DOWN, InDoubt("lost"))
    )
    record(metrics, *every_outcome(), *(handled(Accepted(OK), lane=lane) for lane in Lane))
    record(metrics, replace(handled(Accepted(OK)), transactions=asked))

    assert before == samples(tmp_path).keys()
    reasons = {labels for name, labels in before if name == "hopmail_dead_letters_total"}
    assert len(reasons) == len(Lane) * len(Reason)


def test_no_label_holds_what_came_with_a_message(metrics: Metrics, tmp_path: Path) -> None:
    record(metrics, *every_outcome())

    text = path_of(tmp_path).read_text()
    assert "@" not in text
    assert "m-1" not in text


def test_the_file_is_readable_by_all_and_ends_its_last_line(
    metrics: Metrics, tmp_path: Path
) -> None:
    umask = os.umask(0o077)
    try:
        metrics.write()
    finally:
        os.umask(umask)

    assert stat.S_IMODE(path_of(tmp_path).stat().st_mode) == 0o644
    assert path_of(tmp_path).read_text().endswith("\n")
    assert {path.suffix for path in tmp_path.iterdir()} == {".prom", ".lock"}


def test_a_reader_never_sees_half_a_file(metrics: Metrics, tmp_path: Path) -> None:
    metrics.write()
    whole = len(path_of(tmp_path).read_bytes().splitlines())
    done = threading.Event()

    def rewrite() -> None:
        for _ in range(100):
            metrics.write()
        done.set()

    writer = threading.Thread(target=rewrite)
    writer.start()
    seen = set()
    while not done.is_set():
        seen.add(len(path_of(tmp_path).read_bytes().splitlines()))
    writer.join()

    assert {whole} == seen


def test_no_created_series_are_written(metrics: Metrics, tmp_path: Path) -> None:
    record(metrics, handled(Accepted(OK)))

    assert "_created" not in path_of(tmp_path).read_text()


def test_the_files_of_two_workers_make_one_page(tmp_path: Path) -> None:
    for worker in (0, 1):
        metrics = Metrics(tmp_path, worker)
        metrics.watch(is_connected=lambda: True, is_ledger_in_trouble=lambda: False)
        record(metrics, *list(every_outcome())[worker:])

    pages = [path_of(tmp_path, worker).read_text().splitlines() for worker in (0, 1)]
    heads = [[line for line in page if line.startswith("#")] for page in pages]
    assert heads[0] == heads[1]
    assert not samples(tmp_path, 0).keys() & samples(tmp_path, 1).keys()


def test_every_name_is_ours(metrics: Metrics, tmp_path: Path) -> None:
    metrics.write()

    assert all(name.startswith("hopmail_") for name, _labels in samples(tmp_path))


def test_the_state_of_the_broker_is_read_at_each_write(metrics: Metrics, tmp_path: Path) -> None:
    connected = threading.Event()
    metrics.watch(is_connected=connected.is_set, is_ledger_in_trouble=lambda: False)

    metrics.write()
    before = value(tmp_path, "hopmail_broker_connected")
    connected.set()
    metrics.write()

    assert (before, value(tmp_path, "hopmail_broker_connected")) == (0, 1)


def test_a_ledger_is_in_trouble_only_once_it_cannot_be_opened(
    metrics: Metrics, tmp_path: Path
) -> None:
    told = []
    metrics.write()
    told.append(value(tmp_path, "hopmail_ledger_in_trouble"))
    metrics.ledger_unopened()
    metrics.write()
    told.append(value(tmp_path, "hopmail_ledger_in_trouble"))
    metrics.watch(is_connected=lambda: True, is_ledger_in_trouble=lambda: False)
    metrics.write()
    told.append(value(tmp_path, "hopmail_ledger_in_trouble"))

    assert told == [0, 1, 0]


@pytest.fixture
def running(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> Iterator[Metrics]:
    monkeypatch.setattr("consumer.ops.metrics.WRITE_SECONDS", 0.02)
    metrics.start()
    yield metrics
    metrics.remove()


def test_the_file_is_written_again_and_again_until_it_is_removed(
    running: Metrics, tmp_path: Path
) -> None:
    wait_until(path_of(tmp_path).exists)
    running.record(handled(Accepted(OK)))

    wait_until(lambda: ("ack", "transactional") in counted(tmp_path, "hopmail_deliveries_total"))
    running.remove()

    assert not list(tmp_path.iterdir())


def aged(path: Path, age_seconds: float) -> Path:
    """Have a file, made if it is not there, be written so long ago."""
    path.touch()
    os.utime(path, (time.time() - age_seconds,) * 2)
    return path


def test_files_of_processes_that_are_gone_go_at_the_start_and_later(
    metrics: Metrics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def left(age_seconds: float, *names: str) -> set[Path]:
        return {aged(tmp_path / name, age_seconds) for name in names}

    monkeypatch.setattr("consumer.ops.metrics.WRITE_SECONDS", 0.02)
    monkeypatch.setattr("consumer.ops.metrics.SWEEP_SECONDS", 0.1)
    kept = left(590, "hopmail-4f1c-0.prom", "hopmail-4f1c-0.lock", "hopmail-4f1c-0.tmp")
    kept |= left(3590, "hopmail-4f1c-1.prom")
    kept |= left(4000, "hopmail-4f1c-2.lock") | left(1, "hopmail-4f1c-2.prom")
    kept |= left(4000, "node.prom", "hopmail-backup.prom", "hopmail-4f1c-0.prom.bak")
    gone = left(610, "hopmail-0a-2b.c-0.prom", "hopmail-0a-2b.c-0.lock", "hopmail-0a-2b.c-1.lock")
    gone |= left(3610, "hopmail-0a-2b.c-12.prom", "hopmail-0a-2b.c-12.tmp")

    metrics.start()
    try:
        wait_until(lambda: not any(path.exists() for path in gone), what="the end of old files")
        later = aged(tmp_path / f"hopmail-{HOST}-7.prom", 3610)
        wait_until(lambda: not later.exists(), what="the end of one that grew old meanwhile")
        own = {path_of(tmp_path).with_suffix(suffix) for suffix in (".prom", ".lock", ".tmp")}
        assert set(tmp_path.iterdir()) - own == kept
    finally:
        metrics.remove()


@pytest.mark.parametrize("ending", [signal.SIGSTOP, signal.SIGKILL])
def test_a_worker_that_hangs_is_seen_for_as_long_as_it_does_and_a_dead_one_ten_minutes(
    tmp_path: Path, ending: signal.Signals
) -> None:
    program = f"""
from pathlib import Path
from consumer.ops.metrics import Metrics

metrics = Metrics(Path({str(tmp_path)!r}), 3)
metrics.write()
print("written", flush=True)
input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(ending)
        if ending == signal.SIGKILL:
            process.wait(20)
        files = set(tmp_path.iterdir())
        sweep_forgotten(tmp_path)
        assert set(tmp_path.iterdir()) == files
        for path in files:
            aged(path, 86_400 if ending == signal.SIGSTOP else 610)

        sweep_forgotten(tmp_path)

        left = set(tmp_path.iterdir())
        process.kill()
    assert path_of(tmp_path, 3) in files
    assert left == (files if ending == signal.SIGSTOP else set())


def test_a_heartbeat_moves_its_time(running: Metrics, tmp_path: Path) -> None:
    name = "hopmail_heartbeat_timestamp_seconds"
    wait_until(path_of(tmp_path).exists)
    before = value(tmp_path, name)

    running.heartbeat()

    wait_until(lambda: value(tmp_path, name) > before)


def test_to_be_written_is_no_heartbeat(metrics: Metrics, tmp_path: Path) -> None:
    """A worker whose main loop hangs still has its file written."""
    metrics.heartbeat()
    metrics.write()
    before = value(tmp_path, "hopmail_heartbeat_timestamp_seconds")

    metrics.write()

    assert value(tmp_path, "hopmail_heartbeat_timestamp_seconds") == before


def test_a_file_that_cannot_be_written_is_told_once_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "later"
    folder.touch()
    metrics = Metrics(folder, 0)
    caplog.set_level(logging.WARNING)

    metrics.write()
    metrics.write()
    folder.unlink()
    metrics.write()

    assert [line.getMessage() for line in caplog.records] == ["metrics not written"]
    assert value(folder, "hopmail_metrics_write_failures_total") == 2


def test_a_folder_that_is_missing_is_made_for_everybody_to_read(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "metrics"
    metrics = Metrics(folder, 0)

    umask = os.umask(0o077)
    try:
        metrics.write()
    finally:
        os.umask(umask)

    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert path_of(folder).exists()


def test_a_folder_that_is_there_keeps_its_mode(metrics: Metrics, tmp_path: Path) -> None:
    tmp_path.chmod(0o750)

    metrics.write()

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o750


def test_it_tells_how_many_workers_there_are_to_be(tmp_path: Path) -> None:
    Metrics(tmp_path, 0, processes=3).write()

    assert value(tmp_path, "hopmail_processes") == 3


def test_an_error_in_a_watched_state_does_not_end_the_writing(
    metrics: Metrics, tmp_path: Path
) -> None:
    def broken() -> bool:
        raise RuntimeError

    metrics.watch(is_connected=broken, is_ledger_in_trouble=lambda: False)

    metrics.write()

    assert not path_of(tmp_path).exists()


def test_where_no_worker_ever_ran_there_is_nothing_to_sweep(tmp_path: Path) -> None:
    sweep(tmp_path / "metrics", 2)

    assert not list(tmp_path.iterdir())


def test_files_of_workers_that_are_run_no_more_are_swept_away(tmp_path: Path) -> None:
    for worker in (0, 1, 2, 10, 11):
        for suffix in (".prom", ".tmp", ".lock"):
            path_of(tmp_path, worker).with_suffix(suffix).touch()
    hosts = (f"other-{HOST}", f"{HOST}-b")
    others = [*(tmp_path / f"hopmail-{host}-7.prom" for host in hosts), tmp_path / "node.prom"]
    for path in others:
        path.touch()

    sweep(tmp_path, 2)

    left = {path_of(tmp_path, worker) for worker in (0, 1)}
    assert {path for path in tmp_path.iterdir() if path.suffix == ".prom"} == {*left, *others}
    assert {path.stem for path in tmp_path.iterdir()} == {path.stem for path in (*left, *others)}


def test_a_file_is_left_to_the_process_that_writes_it_until_that_has_ended(
    metrics: Metrics, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    second = Metrics(tmp_path, 0, processes=2)
    caplog.set_level(logging.WARNING)
    metrics.write()

    for _ in range(2):
        second.write()
        assert value(tmp_path, "hopmail_processes") == 1
    metrics.remove()
    assert not list(tmp_path.iterdir())
    second.write()
    assert value(tmp_path, "hopmail_processes") == 2
    metrics.remove()
    assert value(tmp_path, "hopmail_processes") == 2

    (line,) = caplog.records
    assert line.getMessage() == "metrics left to another process"
    assert "HOPMAIL_WORKER" in vars(line)["detail"]
    assert value(tmp_path, "hopmail_metrics_write_failures_total") == 0


def test_a_sweep_leaves_the_lock_of_a_worker_that_still_writes(tmp_path: Path) -> None:
    ending, another = Metrics(tmp_path, 7), Metrics(tmp_path, 7, processes=9)
    ending.write()

    sweep(tmp_path, 2)
    another.write()

    assert not path_of(tmp_path, 7).exists()
    ending.write()
    assert samples(tmp_path, 7)["hopmail_processes", frozenset({("worker", f"{HOST}-7")})] == 1


def test_a_folder_that_was_removed_is_made_and_locked_again(
    metrics: Metrics, tmp_path: Path
) -> None:
    metrics.write()
    for path in tmp_path.iterdir():
        path.unlink()
    metrics.write()

    Metrics(tmp_path, 0, processes=9).write()

    assert value(tmp_path, "hopmail_processes") == 1


def test_what_cannot_be_removed_ends_nothing(tmp_path: Path) -> None:
    """Else a worker's exit code would be lost, and `hopmail run` would not start."""
    no_folder = tmp_path / "file"
    no_folder.touch()
    metrics = Metrics(no_folder, 0)
    path_of(tmp_path, 7).mkdir()
    path_of(tmp_path, 8).touch()

    metrics.start()
    metrics.remove()
    sweep(tmp_path, 2)

    assert {no_folder, path_of(tmp_path, 7)} == set(tmp_path.iterdir())
