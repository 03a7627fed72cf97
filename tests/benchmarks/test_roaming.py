"""Hopmail not kept to a CPU, with its real processes."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.contenders.runs import ROAMING
from benchmarks.drain import drained
from benchmarks.failed import BenchmarkFailed
from benchmarks.hopmail import hopmail
from benchmarks.place import Place
from benchmarks.processes import arguments_of, family, let_roam, may_roam
from benchmarks.sink import smtp_sink
from tests.support.broker import Broker

ALLOWED = os.sched_getaffinity(0)
LOOKS_SECONDS = 3.0
"""In which a process looks more than once whether another CPU has more room."""

pytestmark = pytest.mark.skipif(len(ALLOWED) == 1, reason="there is one CPU to run on")


@pytest.fixture
def place(broker: Broker, tmp_path: Path) -> Iterator[Place]:
    with smtp_sink() as sink:
        yield Place(broker, sink, tmp_path, is_quick=True)


def test_kept_to_a_cpu_it_roams_once_it_is_let(place: Place) -> None:
    with place.vhost() as vhost, hopmail(place, vhost) as crew:
        crew.consumers.wait_ready()
        kept = not may_roam(crew.workers)
        let_roam(crew.workers)
        time.sleep(LOOKS_SECONDS)

        assert kept, "this test needs a Hopmail that keeps to a CPU"
        assert len(crew.workers) == 2
        assert may_roam(crew.workers)


def test_it_drains_all_of_its_mails(place: Place) -> None:
    found = drained(place, ROAMING, 300)

    assert found.rate > 0
    assert found.copies == 0


def test_a_drain_in_which_it_was_kept_to_a_cpu_again_does_not_count(place: Place) -> None:
    def bound_again() -> None:
        with place.vhost() as vhost, ROAMING.run(place, vhost, 0) as pid:
            worker = next(each for each in family(pid) if arguments_of(each)[-1:] == ["consume"])
            os.sched_setaffinity(worker, {min(ALLOWED)})

    with pytest.raises(BenchmarkFailed, match="kept"):
        bound_again()
