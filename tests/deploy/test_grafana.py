"""Grafana is provisioned with Prometheus and a dashboard whose every figure exists."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from consumer.core.topology import DEAD_QUEUE, lane_queue, retry_queue
from consumer.ops.metrics import Metrics
from consumer.settings import load_settings
from publisher_lib.routing import Lane

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "deploy" / "grafana"
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "hopmail.json").read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TITLES = [panel["title"] for panel in PANELS]

BROKER_METRICS = {
    "rabbitmq_detailed_queue_messages",
    "rabbitmq_detailed_queue_messages_ready",
    "rabbitmq_detailed_queue_messages_unacked",
    "rabbitmq_detailed_queue_consumers",
    "rabbitmq_disk_space_available_bytes",
    "rabbitmq_disk_space_available_limit_bytes",
}
"""Of the groups that prometheus.yml asks for (rabbitmq_prometheus, metrics.md)."""


def expressions() -> Iterator[str]:
    for panel in PANELS:
        for target in panel["targets"]:
            yield target["expr"]


def provisioned(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((GRAFANA / "provisioning" / name).read_text())
    return found


@pytest.fixture
def written(tmp_path: Path) -> dict[str, set[str]]:
    """Return each series' name that a worker writes, and its labels."""
    metrics = Metrics(tmp_path, 0)
    metrics.watch(
        is_connected=lambda: True,
        breakers={"relay.example.org:587": lambda: False},
        is_ledger_in_trouble=lambda: False,
    )
    metrics.write()
    [page] = tmp_path.iterdir()
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(page.read_text()):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    return labels


def test_every_figure_of_ours_is_one_that_workers_write(written: dict[str, set[str]]) -> None:
    used = {name for text in expressions() for name in re.findall(r"\bhopmail_\w+", text)}

    assert used <= set(written)
    assert len(used) >= 10


def test_every_label_it_groups_or_selects_by_is_one_of_that_figure(
    written: dict[str, set[str]],
) -> None:
    for text in expressions():
        for name in re.findall(r"\bhopmail_\w+", text):
            grouped = {
                label for by in re.findall(r"by \(([^)]*)\)", text) for label in by.split(", ")
            }
            selected = set(re.findall(r"[{,](\w+)[!=]", text))
            assert grouped | selected <= written[name], text


def test_every_figure_of_the_brokers_is_one_that_is_scraped() -> None:
    used = {name for text in expressions() for name in re.findall(r"\brabbitmq_\w+", text)}

    assert used == BROKER_METRICS


def test_every_queue_is_shown_by_some_panel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOPMAIL_AMQP_URL", "amqp://localhost")
    monkeypatch.setenv("HOPMAIL_SMTP_URL", "smtp://localhost?tls=none")
    delays = load_settings().retry_delays
    ladder = {retry_queue(lane, delay) for lane in Lane for delay in delays}
    selectors = {
        # PromQL's string and its anchored regular expression.
        re.compile(text.replace("\\\\", "\\") if operator == "=~" else re.escape(text))
        for expression in expressions()
        for operator, text in re.findall(r'queue(=~?)"([^"]*)"', expression)
    }

    for queue in {DEAD_QUEUE, *map(lane_queue, Lane), *ladder}:
        assert [pattern for pattern in selectors if pattern.fullmatch(queue)], queue


@pytest.mark.parametrize("panel", PANELS, ids=TITLES)
def test_a_panel_has_a_title_a_description_a_unit_and_the_chosen_data_source(
    panel: dict[str, Any],
) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    for holder in (panel, *panel["targets"]):
        assert holder["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@pytest.mark.parametrize("text", sorted(set(expressions())))
def test_a_counter_is_shown_as_a_rate_over_grafanas_own_interval(text: str) -> None:
    counters = re.findall(r"\bhopmail_\w+_(?:total|bucket)\b", text)
    rates = re.findall(r"(?:rate|increase)\(hopmail_\w+(?:\{[^}]*\})?\[\$__rate_interval\]\)", text)

    assert len(rates) == len(counters) == text.count("[")


def test_panels_have_numbers_of_their_own_and_do_not_overlap() -> None:
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len(numbers) == len(set(numbers))
    assert len(cells) == len(set(cells))
    assert max(x for x, _y in cells) == 23


def test_the_dashboard_can_be_provisioned() -> None:
    [variable] = DASHBOARD["templating"]["list"]

    assert "id" not in DASHBOARD
    assert (DASHBOARD["uid"], DASHBOARD["title"]) == ("hopmail", "Hopmail")
    assert (variable["name"], variable["type"], variable["query"]) == (
        *("datasource", "datasource"),
        "prometheus",
    )


def test_grafana_asks_the_prometheus_of_the_compose_file() -> None:
    [source] = provisioned("datasources/prometheus.yml")["datasources"]

    assert (source["type"], source["isDefault"]) == ("prometheus", True)
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in SERVICES


def test_the_data_source_knows_how_often_prometheus_scrapes() -> None:
    [source] = provisioned("datasources/prometheus.yml")["datasources"]
    scraped = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())

    assert source["jsonData"]["timeInterval"] == scraped["global"]["scrape_interval"]


def test_grafana_finds_the_dashboard_where_compose_mounts_it() -> None:
    [provider] = provisioned("dashboards/hopmail.yml")["providers"]
    grafana = SERVICES["grafana"]
    folder = provider["options"]["path"]

    assert f"./deploy/grafana/dashboards:{folder}:ro" in grafana["volumes"]
    assert (
        grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
        == f"{folder}/hopmail.json"
    )
