"""docs/metrics.md names the figures that there are, and no others."""

import re
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.parser import text_string_to_metric_families

from publisher_lib.metrics import PublisherMetrics
from tests.support.broker import Broker, VirtualHost
from tests.support.consumer_process import consuming, state_folder, wait_until
from tests.support.smtp_server import smtp_server

TEXT: Final = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
ROW: Final = re.compile(
    r"^\| `(hopmail_\w+)` \| (\w+) \| ([^|]*) \| ([^|]+) \| ([^|]+\.) \|$", re.MULTILINE
)
LABEL: Final = re.compile(r"^\| `(\w+)` \| (.+) \|$", re.MULTILINE)
OPEN: Final = {"worker", "relay", "delay", "queue", "version", "python"}
"""Labels whose values the settings, or what is installed, decide."""

UNITS: Final = {
    "_timestamp_seconds": "Unix time",
    "_start_time_seconds": "Unix time",
    "_seconds": "s",
    "_seconds_total": "s",
    "_bytes": "bytes",
    "_info": "always 1",
}
"""By the end of a name, the longest one that fits."""


@dataclass(frozen=True)
class Told:
    """What the document tells of a figure."""

    kind: str
    labels: frozenset[str]
    unit: str


TOLD: Final = {
    name: Told(kind, frozenset(re.findall(r"`(\w+)`", labels)), unit.strip())
    for name, kind, labels, unit, _meaning in ROW.findall(TEXT)
}


@pytest.fixture(scope="module")
def exposed(broker: Broker) -> list[Metric]:
    """Return all that a first worker writes, and an app's registry holds."""
    vhost = VirtualHost(broker, f"t{uuid.uuid4().hex[:12]}")
    vhost.create()
    path = state_folder(vhost.url) / "metrics" / f"hopmail-{socket.gethostname()}-0.prom"
    with smtp_server() as server, consuming(vhost.url, server.url, worker=0):
        wait_until(path.exists, what="its first figures")
        page = path.read_text()
    vhost.delete()
    registry = CollectorRegistry()
    PublisherMetrics(registry)
    return [*text_string_to_metric_families(page), *registry.collect()]


def name_of(metric: Metric) -> str:
    return f"{metric.name}_total" if metric.type == "counter" else metric.name


def values_of(metrics: list[Metric]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for metric in metrics:
        for sample in metric.samples:
            for label, value in sample.labels.items():
                found.setdefault(label, set()).add(value)
    return found


def test_it_tells_of_each_figure_its_kind_and_its_labels(exposed: list[Metric]) -> None:
    found = {
        name_of(metric): (metric.type, frozenset(values_of([metric])) - {"worker", "le"})
        for metric in exposed
    }

    assert {name: (told.kind, told.labels) for name, told in TOLD.items()} == found


def test_each_is_told_of_once() -> None:
    assert (
        len(TOLD) == len(ROW.findall(TEXT)) == len(re.findall(r"^\| `hopmail_", TEXT, re.MULTILINE))
    )


def test_a_unit_is_that_of_the_name() -> None:
    for name, told in TOLD.items():
        ends = [end for end in UNITS if name.endswith(end)]
        if ends:
            assert told.unit == UNITS[max(ends, key=len)], name


def test_it_tells_of_each_label_its_values(exposed: list[Metric]) -> None:
    told = {
        label: set(re.findall(r"`([\w]+)`", values))
        for label, values in LABEL.findall(TEXT.partition("## Labels")[2])
    }
    found = values_of(exposed)

    assert set(found) - {"le"} == OPEN | set(told)
    assert {label: values for label, values in told.items() if label not in OPEN} == {
        label: values - {""} for label, values in found.items() if label not in OPEN | {"le"}
    }
