"""A process keeps to one CPU, and leaves it to others only where it gains by that."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from consumer.ops.one_cpu import Look, is_to_return, roomier
from tests.support.broker import VirtualHost
from tests.support.consumer_process import consuming, wait_until
from tests.support.smtp_sink import free_port

CPUS = sorted(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("own_seconds", "busy_ticks", "expected"),
    [
        pytest.param(0.9, {0: 95, 1: 10}, None, id="nobody else is here"),
        pytest.param(0.5, {0: 100, 1: 10}, 1, id="others take half of it"),
        pytest.param(0.5, {0: 100, 1: 10, 2: 5}, 2, id="the roomiest"),
        pytest.param(0.5, {0: 100, 1: 25}, 1, id="two of us on one, the broker on the other"),
        pytest.param(0.5, {0: 100, 1: 40}, None, id="little to gain"),
        pytest.param(0.5, {0: 100, 1: 100}, None, id="all are full"),
        pytest.param(0.05, {0: 100, 1: 0}, None, id="idle, in a crowd"),
        pytest.param(0.5, {0: 100, 3: 0}, None, id="one that is not allowed"),
        pytest.param(0.5, {1: 0}, None, id="ours is not counted"),
        pytest.param(0.5, {}, None, id="none is"),
    ],
)
def test_a_cpu_is_left_for_one_with_more_room(
    own_seconds: float, busy_ticks: dict[int, int], expected: int | None
) -> None:
    before = Look(5.0, 1.0, dict.fromkeys(busy_ticks, 1000), dict.fromkeys(busy_ticks, 2000))
    after = Look(
        6.0,
        1.0 + own_seconds,
        {cpu: 1000 + ticks for cpu, ticks in busy_ticks.items()},
        dict.fromkeys(busy_ticks, 2100),
    )

    assert roomier(0, {0, 1, 2}, before, after) == expected


@pytest.mark.parametrize(
    ("away_seconds", "own_seconds", "expected"),
    [
        pytest.param(3.0, 0.5, False, id="driven away just now"),
        pytest.param(61.0, 0.5, True, id="who drove it away may have gone"),
        pytest.param(3.0, 0.05, True, id="idle"),
    ],
)
def test_a_process_returns_to_its_own_cpu(
    away_seconds: float, own_seconds: float, *, expected: bool
) -> None:
    before, after = Look(99.0, 1.0, {}, {}), Look(100.0, 1.0 + own_seconds, {}, {})

    assert is_to_return(100.0 - away_seconds, before, after) is expected


def test_all_threads_run_on_one_cpu_and_processes_on_different_ones(vhost: VirtualHost) -> None:
    smtp_url = f"smtp://127.0.0.1:{free_port()}?tls=none"
    with (
        consuming(vhost.url, smtp_url, worker=0) as first,
        consuming(vhost.url, smtp_url, worker=1) as second,
    ):
        for process in (first, second):
            wait_until(lambda pid=process.pid: len(cpus_of(pid)) > 5, what="the threads")  # type: ignore[misc]
        used = [set().union(*cpus_of(process.pid)) for process in (first, second)]

    assert [len(cpus) for cpus in used] == [1, 1]
    assert len(used[0] | used[1]) == min(2, len(CPUS))


@pytest.mark.skipif(len(CPUS) == 1, reason="there is no other CPU to move to")
def test_all_threads_move_away_from_a_crowd_and_back_once_they_are_idle(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "tests.ops.crowded", str(tmp_path / "stat")],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert found.stdout.split() == ["moved", "back"]


def test_idle_it_moves_away_from_nobody(vhost: VirtualHost) -> None:
    with consuming(vhost.url, f"smtp://127.0.0.1:{free_port()}?tls=none") as process:
        wait_until(lambda: len(cpus_of(process.pid)) > 5, what="the threads")
        (home,) = set().union(*cpus_of(process.pid))
        with busy_on(home), pytest.raises(AssertionError):
            wait_until(lambda: {home} != set().union(*cpus_of(process.pid)), 8)


def test_who_sets_the_affinity_from_outside_has_the_last_word(vhost: VirtualHost) -> None:
    with consuming(vhost.url, f"smtp://127.0.0.1:{free_port()}?tls=none") as process:
        wait_until(lambda: len(cpus_of(process.pid)) > 5, what="the threads")
        ((first,),) = set(map(frozenset, cpus_of(process.pid)))
        subprocess.run(
            ["taskset", "-a", "-c", "-p", ",".join(map(str, CPUS)), str(process.pid)],
            check=True,
            capture_output=True,
        )
        with busy_on(first), pytest.raises(AssertionError):
            wait_until(lambda: cpus_of(process.pid) != [set(CPUS)] * len(cpus_of(process.pid)), 8)


def cpus_of(pid: int) -> list[set[int]]:
    """Return where each thread of a process may run."""
    return [
        os.sched_getaffinity(int(thread.name)) for thread in Path(f"/proc/{pid}/task").iterdir()
    ]


@contextmanager
def busy_on(cpu: int) -> Iterator[None]:
    """Have another process take all that it gets of a CPU."""
    code = f"import os\nos.sched_setaffinity(0, {{{cpu}}})\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        try:
            yield
        finally:
            process.kill()
