"""The figures of queues, ledger and log, as they stand in a worker's file."""

import logging
import math
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from consumer.core.waiting import Count, Kind, Place, Stock, places
from consumer.ops.ledger_figures import LedgerFigures
from consumer.ops.log_figures import LEVELS, LogFigures
from consumer.ops.metrics import Metrics
from consumer.ops.queue_figures import QueueFigures
from publisher_lib.routing import Lane

LADDER = (timedelta(seconds=30),)
DEAD = Place("email.dead.v1", Kind.DEAD)
BULK = Place("email.bulk.v1", Kind.LANE, Lane.BULK)
DEAD_LABELS = 'kind="dead",lane="",queue="email.dead.v1"'
BULK_LABELS = 'kind="lane",lane="bulk",queue="email.bulk.v1"'


@pytest.fixture
def metrics(tmp_path: Path) -> Metrics:
    return Metrics(tmp_path, 0)


def written(metrics: Metrics) -> dict[str, float]:
    """Return each series that the file holds, without its worker."""
    metrics.write()
    (page,) = metrics._path.parent.glob("*.prom")
    lines = [line for line in page.read_text().splitlines() if line.strip() and line[0] != "#"]
    series = (re.sub(r',?worker="[^"]*"', "", line) for line in lines)
    return {name: float(text) for name, text in (line.rsplit(" ", 1) for line in series)}


def test_queues_are_shown_as_they_were_seen(metrics: Metrics) -> None:
    figures = QueueFigures(metrics.registry, places(LADDER))

    figures.show((Stock(DEAD, Count(3, 0), 70.5), Stock(BULK, Count(0, 2), 0.0)), 100.25)

    found = written(metrics)
    assert found[f"hopmail_queue_messages{{{DEAD_LABELS}}}"] == 3
    assert found[f"hopmail_queue_consumers{{{BULK_LABELS}}}"] == 2
    assert found[f"hopmail_queue_oldest_timestamp_seconds{{{DEAD_LABELS}}}"] == 70.5
    assert found[f"hopmail_queue_oldest_timestamp_seconds{{{BULK_LABELS}}}"] == 0
    assert found["hopmail_queue_sample_timestamp_seconds{}"] == 100.25


def test_every_queue_is_there_from_the_start_and_not_known(metrics: Metrics) -> None:
    QueueFigures(metrics.registry, places(LADDER))

    found = written(metrics)
    of_queues = [figure for name, figure in found.items() if name.startswith("hopmail_queue_m")]
    assert len(of_queues) == len(places(LADDER))
    assert all(map(math.isnan, of_queues))
    assert found["hopmail_queue_sample_timestamp_seconds{}"] == 0


def test_the_ledger_s_size_is_read_at_each_write_and_its_commits_are_timed(
    metrics: Metrics,
) -> None:
    sizes = iter((math.nan, 4096.0))
    figures = LedgerFigures(metrics.registry, lambda: next(sizes))

    figures.wrote(0.002)

    assert math.isnan(written(metrics)["hopmail_ledger_bytes{}"])
    found = written(metrics)
    assert found["hopmail_ledger_bytes{}"] == 4096
    assert found["hopmail_ledger_write_seconds_count{}"] == 1
    assert found['hopmail_ledger_write_seconds_bucket{le="0.001"}'] == 0
    assert found['hopmail_ledger_write_seconds_bucket{le="0.0025"}'] == 1


@pytest.fixture
def logged(metrics: Metrics) -> Iterator[logging.Logger]:
    """Return a logger whose records are counted."""
    log = logging.getLogger("tests.counted")
    handler = LogFigures(metrics.registry)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield log
    log.removeHandler(handler)


def test_what_is_logged_is_counted_by_level(metrics: Metrics, logged: logging.Logger) -> None:
    logged.debug("not logged")
    logged.info("handled")
    logged.info("handled")
    logged.log(25, "of a level of its own")
    logged.log(99, "of another")
    logged.error("broken")

    found = written(metrics)
    counts = [found[f'hopmail_log_messages_total{{level="{level}"}}'] for level in LEVELS]
    assert counts == [0, 3, 0, 1, 1]
