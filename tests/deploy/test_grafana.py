"""Grafana is provisioned with Prometheus and a dashboard whose every figure exists."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from consumer.core.topology import DEAD_QUEUE, lane_queue, retry_queue
from consumer.settings import load_settings
from dev.broker import private_node
from dev.dashboard import Panel, Span, panels
from dev.prometheus import Prometheus
from publisher_lib.routing import Lane
from tests.support.broker import Broker, VirtualHost
from tests.support.prometheus import observed, send_all_kinds

pytestmark = pytest.mark.timeout(300)
"""The first test that needs it waits for a broker and for traffic."""

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "deploy" / "grafana"
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "hopmail.json").read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TITLES = [panel["title"] for panel in PANELS]

BROKER_METRICS = {
    "rabbitmq_detailed_queue_messages_ready",
    "rabbitmq_detailed_queue_messages_unacked",
    "rabbitmq_disk_space_available_bytes",
    "rabbitmq_disk_space_available_limit_bytes",
}
"""Of the groups that prometheus.yml asks for (rabbitmq_prometheus, metrics.md)."""

MADE_BY_QUERIES = {"host"}
"""Labels of no figure."""

KNOWN_UNITS = {"s", "short", "none", "bytes", "percentunit", "suffix: /min"}
ALIVE = "and on (worker) (hopmail:worker_alive == 1)"
SAMPLED = "and on (worker) hopmail:queue_sampler"
GAUGES = {
    "hopmail_breaker_open",
    "hopmail_broker_connected",
    "hopmail_consuming_held",
    "hopmail_in_flight",
    "hopmail_ledger_bytes",
    "hopmail_ledger_in_trouble",
    "hopmail_oldest_held_timestamp_seconds",
    "hopmail_prefetch",
    "hopmail_process_resident_memory_bytes",
    "hopmail_queue_consumers",
    "hopmail_queue_messages",
    "hopmail_queue_oldest_timestamp_seconds",
    "hopmail_sessions_open",
}
"""What a worker that was killed would go on showing."""


def expressions() -> Iterator[str]:
    for panel in PANELS:
        for target in panel["targets"]:
            yield target["expr"]


def provisioned(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((GRAFANA / "provisioning" / name).read_text())
    return found


@dataclass(frozen=True)
class Shown:
    """Prometheus after real traffic, and the span in which that was."""

    prometheus: Prometheus
    span: Span


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    with private_node(management=True, prometheus=True) as node:
        vhost = VirtualHost(Broker(node.url, node.management_url), "grafana")
        vhost.create()
        folder = tmp_path_factory.mktemp("grafana")
        with observed(vhost, folder, broker_port=node.prometheus_port) as scene:
            send_all_kinds(scene)
            scene.wait_for("sum(hopmail_handling_seconds_count)", scene.expected.handled)
            yield Shown(scene.prometheus, Span(scene.began_at, time.time(), 1, "15s"))
        vhost.delete()


@pytest.fixture(scope="module")
def written(shown: Shown) -> dict[str, set[str]]:
    """Return each series' name that workers write or rules record, and its labels."""
    # A recorded one has no series while there is nothing to tell.
    labels: dict[str, set[str]] = {name: set() for name in recorded()}
    for series in shown.prometheus.instant('{__name__=~"hopmail[_:].+"}', shown.span.end):
        labels.setdefault(series.labels["__name__"], set()).update(series.labels)
    return labels


def recorded() -> set[str]:
    """Return the names of the series that rules.yml records."""
    groups = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yml").read_text())["groups"]
    return {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}


def figures_in(text: str) -> list[str]:
    return re.findall(r"\bhopmail[_:][\w:]+", text)


def test_every_figure_of_ours_is_one_that_workers_write_or_rules_record(
    written: dict[str, set[str]],
) -> None:
    used = {name for text in expressions() for name in figures_in(text)}

    assert used <= set(written)
    assert len(used) >= 30


def test_every_label_it_groups_or_selects_by_is_one_of_a_figure_in_it(
    written: dict[str, set[str]],
) -> None:
    for text in expressions():
        names = figures_in(text)
        if not names:
            continue
        known = MADE_BY_QUERIES.union(*(written[name] for name in names))
        grouped = re.findall(r"(?:by|on) \(([^)]*)\)", text)
        listed = {label for labels in grouped for label in labels.split(", ")}
        selected = set(re.findall(r"[{,](\w+)[!=]", text))
        assert listed | selected - {"queue"} <= known, text


@pytest.mark.parametrize("text", sorted(set(expressions())))
def test_gauges_of_dead_workers_and_old_samples_are_not_shown(text: str) -> None:
    shown = [name for name in figures_in(text) if name in GAUGES]
    of_queues = [name for name in shown if name.startswith("hopmail_queue_")]

    assert text.count(SAMPLED) == len(of_queues)
    assert text.count(ALIVE) == len(shown) - len(of_queues)


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
    assert panel["fieldConfig"]["defaults"]["unit"] in KNOWN_UNITS
    for holder in (panel, *panel["targets"]):
        assert holder["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@pytest.mark.parametrize(
    "panel", [panel for panel in PANELS if panel["type"] == "stat"], ids=lambda one: one["title"]
)
def test_a_stat_shows_no_value_of_long_ago(panel: dict[str, Any]) -> None:
    """Over a span, `lastNotNull` would be the last one before every worker died."""
    for target in panel["targets"]:
        assert target.get("instant") or target["expr"].endswith(" or vector(0)")
        assert panel["options"]["reduceOptions"]["calcs"] == ["lastNotNull"]
    assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"]


def test_the_first_row_is_eight_stats_side_by_side() -> None:
    first, *stats = DASHBOARD["panels"][:9]

    assert first["type"] == "row"
    assert {(panel["type"], panel["gridPos"]["y"]) for panel in stats} == {("stat", 1)}
    assert sum(panel["gridPos"]["w"] for panel in stats) == 24


@pytest.mark.parametrize("text", sorted(set(expressions())))
def test_a_counter_is_shown_as_a_rate_over_grafanas_own_interval(text: str) -> None:
    counters = re.findall(r"\bhopmail_\w+_(?:total|bucket|count|sum)\b", text)
    rates = re.findall(r"(?:rate|increase)\(hopmail_\w+(?:\{[^}]*\})?\[\$__rate_interval\]\)", text)
    restarts = text.count("changes(hopmail_process_start_time_seconds[$__rate_interval])")

    assert len(rates) == len(counters) == text.count("[") - restarts - text.count("[0-9]")


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


@pytest.mark.parametrize(
    "panel", [panel for panel in panels() if panel.queries], ids=lambda panel: panel.title
)
def test_a_panel_shows_data_after_real_traffic(shown: Shown, panel: Panel) -> None:
    # What stands for no data must not hide that there is none.
    queries = [
        replace(query, expression=query.expression.replace(" or vector(0)", ""))
        for query in panel.queries
    ]
    answers = [query.ask(shown.prometheus, shown.span) for query in queries]

    for query, found in zip(queries, answers, strict=True):
        assert [number for _name, series in found for number in series.numbers], query
        names = [name for name, _series in found]
        assert len(names) == len(set(names)), "two series of one name cannot be told apart"
        assert not [name for name in names if "no " in name], "a label of the legend is not there"


HEARD = "0+15x40"
"""Alive, or sampled just now, for 10 minutes."""


@pytest.mark.parametrize(
    ("series", "shown"),
    [
        pytest.param([("messages", 0, "0x40"), ("oldest", 0, "0x40")], "0", id="nothing-waits"),
        pytest.param([("messages", 0, "7x40"), ("oldest", 0, "60x40")], "240", id="known"),
        pytest.param([("messages", 0, "7x40"), ("oldest", 0, "NaN+0x40")], "NaN", id="unknown"),
        pytest.param(
            [("messages", 0, "NaN+0x40"), ("oldest", 0, "NaN+0x40")], "NaN", id="never-looked"
        ),
        pytest.param(
            [("messages", 0, "7x40"), ("oldest", 0, "NaN+0x40"), ("held", 0, "299x40")],
            "NaN",
            id="unknown-but-for-what-is-held",
        ),
        pytest.param(
            [
                *(("messages", 0, "7x40"), ("oldest", 0, "60x40")),
                *(("messages", 1, "7x40"), ("oldest", 1, "120x40")),
            ],
            "180",
            id="the-better-of-two-hosts",
        ),
        pytest.param([("messages", 2, "7x40"), ("oldest", 2, "60x40")], None, id="old-sample"),
    ],
)
def test_the_oldest_that_waits_is_shown_with_its_age_or_as_unknown(
    series: list[tuple[str, int, str]], shown: str | None, tmp_path: Path
) -> None:
    [query] = panel("Oldest waiting").queries

    assert_shows(query.expression, series, shown, tmp_path)


@pytest.mark.parametrize(
    ("series", "shown"),
    [
        pytest.param([("messages", 0, "7x40"), ("messages", 1, "7x40")], "7", id="two-hosts"),
        pytest.param([("messages", 2, "7x40"), ("ready", 0, "5x40")], "5", id="old-sample"),
        pytest.param([("messages", 0, "NaN+0x40"), ("ready", 0, "5x40")], "5", id="never-looked"),
    ],
)
def test_what_waits_is_counted_once_and_of_late(
    series: list[tuple[str, int, str]], shown: str, tmp_path: Path
) -> None:
    in_the_lanes = panel("Waiting").queries[0]

    assert_shows(in_the_lanes.expression, series, shown, tmp_path)


def panel(title: str) -> Panel:
    """Return the first one with this title."""
    return next(one for one in panels() if one.title == title)


def assert_shows(
    expression: str, series: list[tuple[str, int, str]], shown: str | None, folder: Path
) -> None:
    """Let promtool compute it, after five minutes with workers 0 to 2 alive.

    Series are of the transactional lane: what, by which worker, its values. The samples of worker 2
    are old.
    """
    lane = 'lane="transactional"'
    queue = f'{lane}, kind="lane", queue="email.transactional.v1"'
    names = {
        "messages": f"hopmail_queue_messages{{{queue}",
        "oldest": f"hopmail_queue_oldest_timestamp_seconds{{{queue}",
        "held": f"hopmail_oldest_held_timestamp_seconds{{{lane}",
        "ready": 'rabbitmq_detailed_queue_messages_ready{queue="email.transactional.v1"',
    }
    inputs = [(f'{names[what]}, worker="h{host}-0"}}', values) for what, host, values in series]
    for host in range(3):
        worker = f'{{worker="h{host}-0"}}'
        sampled = HEARD if host < 2 else "0x40"
        inputs += [
            (f"hopmail_heartbeat_timestamp_seconds{worker}", HEARD),
            (f"hopmail_queue_sample_timestamp_seconds{worker}", sampled),
        ]
    asked = f"sum({expression})"
    if shown == "NaN":
        # It equals nothing, not even itself.
        asked, shown = f"count(({expression}) != ({expression}))", "1"
    samples = [] if shown is None else [{"labels": "{}", "value": float(shown)}]
    sheet = {
        "rule_files": [str(ROOT / "deploy" / "prometheus" / "rules.yml")],
        "evaluation_interval": "15s",
        "group_eval_order": ["hopmail-workers", "hopmail-flow"],
        "tests": [
            {
                "interval": "15s",
                "input_series": [{"series": name, "values": values} for name, values in inputs],
                "promql_expr_test": [{"expr": asked, "eval_time": "5m", "exp_samples": samples}],
            }
        ],
    }
    path = folder / "shown.test.yml"
    path.write_text(json.dumps(sheet))
    tested = subprocess.run(
        ["promtool", "test", "rules", path], capture_output=True, text=True, check=False
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr
