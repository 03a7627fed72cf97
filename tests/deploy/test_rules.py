"""Alerts: promtool accepts them, their figures exist, and each is tested at its threshold."""

import json
import re
import subprocess
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from consumer.core.disposition import Reason
from consumer.core.status import SILENT
from consumer.ops.metrics_files import FORGOTTEN_SECONDS
from tests.support.every_figure import write_every_figure

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES_FILE = PROMETHEUS / "rules.yml"
TEST_FILES = sorted(PROMETHEUS.glob("*.test.yml"))
OPERATIONS = ROOT / "docs" / "operations.md"

GROUPS: list[dict[str, Any]] = yaml.safe_load(RULES_FILE.read_text())["groups"]
RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]
RECORDED: dict[str, str] = {rule["record"]: rule["expr"] for rule in RULES if "record" in rule}
ALERTS = [rule for rule in RULES if "alert" in rule]
SHEETS: list[dict[str, Any]] = [yaml.safe_load(path.read_text()) for path in TEST_FILES]

OF_OTHERS: Final = {
    "up": {"job", "instance"},
    "node_textfile_scrape_error": {"job", "instance"},
    "promhttp_metric_handler_errors_total": {"job", "instance", "cause"},
}
"""Of Prometheus itself and of node_exporter."""

WORDS: Final = {
    *("and", "or", "unless", "on", "by", "bool", "group_left"),
    *("abs", "absent", "changes", "histogram_quantile", "increase", "label_replace", "max", "min"),
    *("min_over_time", "offset", "rate", "sum", "time"),
}
"""PromQL's own."""

SEEN_SECONDS: Final = 240
"""For which an alert fires at least."""

STEP_SECONDS: Final = 30
"""By which an alert's `for` is changed to see whether its tests notice."""


def identity(rule: dict[str, Any]) -> str:
    return f"{rule['alert']}-{rule['labels']['severity']}"


IDS = [identity(alert) for alert in ALERTS]


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def figures(tmp_path: Path) -> dict[str, set[str]]:
    """Return each series' name that can be scraped, and its labels."""
    write_every_figure(tmp_path)
    [page] = tmp_path.glob("*.prom")
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(page.read_text()):
        for sample in family.samples:
            found.setdefault(sample.name, {"job", "instance"}).update(sample.labels)
    return found | OF_OTHERS


def bare(expression: str) -> str:
    """Return the expression without its strings."""
    return re.sub(r'"[^"]*"', '""', expression)


def names(expression: str) -> set[str]:
    """Return the metrics that it reads."""
    text = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b\d+[smh]\b", "", bare(expression))
    text = re.sub(r"\b(?:by|on|group_left) \([^)]*\)", "", text)
    return set(re.findall(r"[a-z_][a-z0-9_:]*", text)) - WORDS


def test_promtool_accepts_the_rules() -> None:
    checked = promtool("check", "rules", RULES_FILE)

    assert checked.returncode == 0, checked.stderr
    assert f"{len(RULES)} rules found" in checked.stdout


def test_promtool_accepts_the_configuration_and_finds_the_rules() -> None:
    checked = promtool("check", "config", PROMETHEUS / "prometheus.yml")

    assert checked.returncode == 0, checked.stderr
    assert "1 rule files found" in checked.stdout


def test_compose_mounts_the_rules_where_the_configuration_looks_for_them() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]

    for name in ("prometheus.yml", "rules.yml"):
        mount = f"./deploy/prometheus/{name}:/etc/prometheus/{name}:ro"
        assert mount in services["prometheus"]["volumes"]


def test_alerts_are_looked_at_as_often_as_figures_come() -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["global"]

    assert config["evaluation_interval"] == config["scrape_interval"]


def test_the_rules_pass_their_tests() -> None:
    tested = promtool("test", "rules", *TEST_FILES)

    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_figure_exists(figures: dict[str, set[str]]) -> None:
    used = set[str]().union(*(names(rule["expr"]) for rule in RULES))

    assert used <= {*figures, *RECORDED}
    assert len(used & set(figures)) >= 15


def test_every_recorded_figure_is_used_by_an_alert() -> None:
    assert set(RECORDED) == {name for alert in ALERTS for name in closure(alert)}


def test_every_label_a_figure_is_selected_by_is_its_own(figures: dict[str, set[str]]) -> None:
    selections = 0
    for rule in RULES:
        for name, selected in re.findall(r"([a-z_:0-9]+)\{([^}]*)\}", bare(rule["expr"])):
            labels = set(re.findall(r"(\w+)[!=]", selected))
            assert labels <= labels_of(name, figures), rule
            selections += 1
    assert selections >= 20


def test_every_label_it_groups_or_joins_by_is_one_of_a_figure_in_it(
    figures: dict[str, set[str]],
) -> None:
    for rule in RULES:
        text = bare(rule["expr"])
        grouped = {
            label
            for by in re.findall(r"\b(?:by|on|group_left) \(([^)]*)\)", text)
            for label in by.split(", ")
            if label
        }
        known = set[str]().union(*(labels_of(name, figures) for name in names(text)))
        # That one is made of `worker`, by label_replace.
        made = {"host"} if "label_replace" in text else set()
        assert grouped <= known | made, rule


def labels_of(name: str, figures: dict[str, set[str]]) -> set[str]:
    """Return the labels that a figure, written or recorded, may have."""
    if name in figures:
        return figures[name]
    by = re.match(r"\s*(?:max|sum) by \(([^)]*)\)", RECORDED[name])
    if by is not None:
        return set(by[1].split(", "))
    return set[str]().union(*(labels_of(each, figures) for each in names(RECORDED[name])))


@pytest.mark.parametrize("alert", ALERTS, ids=IDS)
def test_an_alert_says_what_is_amiss_and_where_to_read_on(alert: dict[str, Any]) -> None:
    annotations = alert["annotations"]
    headings = re.findall(r"^#+ (.+)$", OPERATIONS.read_text(), re.MULTILINE)
    path, _, anchor = annotations["runbook_url"].partition("#")

    assert set(alert["labels"]) == {"severity"}
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert set(annotations) == {"summary", "description", "runbook_url"}
    assert not annotations["summary"].endswith(".")
    assert annotations["description"].endswith(".")
    assert ROOT / path == OPERATIONS
    assert alert["alert"] in headings
    # What GitHub and GitLab make of a heading of one word.
    assert anchor == alert["alert"].lower()


def test_every_alert_with_a_section_exists() -> None:
    sections = re.findall(r"^#+ (Hopmail\w+)$", OPERATIONS.read_text(), re.MULTILINE)

    assert sections == list(dict.fromkeys(alert["alert"] for alert in ALERTS))


@pytest.mark.parametrize("name", sorted({alert["alert"] for alert in ALERTS}))
def test_a_section_tells_what_it_means_what_to_look_at_and_what_to_do(name: str) -> None:
    parts = re.findall(r"^\*\*(.+?)\*\*", section(name), re.MULTILINE)

    assert parts == ["Means.", "Look at.", "Do."]


@pytest.mark.parametrize("alert", ALERTS, ids=IDS)
def test_an_alert_is_tested_where_it_fires_and_where_it_is_silent(alert: dict[str, Any]) -> None:
    fired = [
        any(
            expected["exp_labels"]["severity"] == alert["labels"]["severity"]
            for expected in case.get("exp_alerts", [])
        )
        for case in cases(alert)
    ]

    assert True in fired
    assert False in fired


@pytest.mark.parametrize("alert", ALERTS, ids=IDS)
def test_an_alerts_tests_notice_a_threshold_that_is_a_little_higher_or_lower(
    alert: dict[str, Any], tmp_path: Path
) -> None:
    assert passes(alert, tmp_path)

    for changed in mutants(alert):
        assert not passes(changed, tmp_path), changed


def test_a_dead_worker_is_told_of_long_before_its_figures_are_removed() -> None:
    waits = {
        alert["alert"]: 60 * int(alert["for"].removesuffix("m"))
        for alert in ALERTS
        if alert["alert"] in {"HopmailWorkerSilent", "HopmailWorkersMissing"}
    }

    assert len(waits) == 2
    assert max(waits.values()) + SILENT.total_seconds() < FORGOTTEN_SECONDS - SEEN_SECONDS


def test_every_reason_but_the_everyday_ones_is_alerted_on_and_told_what_to_do_about() -> None:
    [alert] = [alert for alert in ALERTS if alert["alert"] == "HopmailDeadLetters"]
    [everyday] = re.findall(r'reason!~"([^"]*)"', alert["expr"])
    told = re.findall(r"^\| (`[^|]+) \|", section("HopmailDeadLetters"), re.MULTILINE)

    alerted_on = {reason for reason in Reason if not re.fullmatch(everyday, reason)}
    assert alerted_on == set(Reason) - {Reason.REFUSED, Reason.EXPIRED}
    assert sorted(re.findall(r"`(\w+)`", " ".join(told))) == sorted(alerted_on)


def section(name: str) -> str:
    """Return an alert's section of the runbook."""
    [found] = re.findall(
        rf"^### {name}\n(.*?)(?=^##|\Z)", OPERATIONS.read_text(), re.MULTILINE | re.DOTALL
    )
    return str(found)


def cases(alert: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        case
        for sheet in SHEETS
        for test in sheet["tests"]
        for case in test["alert_rule_test"]
        if case["alertname"] == alert["alert"]
    ]


def mutants(alert: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the alert with one of its thresholds, or its `for`, a little higher or lower."""
    for found in re.finditer(r"(?:==|[<>]=?) ([\d.]+)", alert["expr"]):
        for threshold in around(found[1]):
            before, after = alert["expr"][: found.start(1)], alert["expr"][found.end(1) :]
            yield alert | {"expr": f"{before}{threshold}{after}"}
    if " < on " in alert["expr"]:
        yield alert | {"expr": alert["expr"].replace(" < on ", " <= on ")}
    if "for" in alert:
        seconds = 60 * int(alert["for"].removesuffix("m"))
        for longer in (-STEP_SECONDS, STEP_SECONDS):
            yield alert | {"for": f"{seconds + longer}s"}


def around(threshold: str) -> tuple[float, float]:
    """Return a little less and a little more: a tenth of a share, a twentieth of a number."""
    value = float(threshold)
    step = value / 10 if "." in threshold else max(1, value // 20)
    return value - step, value + step


def closure(rule: dict[str, Any]) -> dict[str, str]:
    """Return the recording rules it needs, by name, in the order in which they can be computed."""
    found: dict[str, str] = {}
    for name in sorted(names(rule["expr"]) & set(RECORDED)):
        needed = {"expr": RECORDED[name]}
        found |= closure(needed) | {name: RECORDED[name]}
    return found


def passes(changed: dict[str, Any], folder: Path) -> bool:
    """Return whether the tests of its name pass with this alert instead of the original.

    Only what they need is evaluated, as it is done some hundred times.
    """
    rules = [
        changed
        if (alert["alert"], alert["labels"]) == (changed["alert"], changed["labels"])
        else alert
        for alert in ALERTS
        if alert["alert"] == changed["alert"]
    ]
    recorded = dict(chain.from_iterable(closure(rule).items() for rule in rules))
    records = [{"record": name, "expr": expr} for name, expr in recorded.items()]
    write(folder / "rules.yml", {"groups": [{"name": "all", "rules": [*records, *rules]}]})
    for number, sheet in enumerate(SHEETS):
        tests = [
            test
            for test in sheet["tests"]
            if test["alert_rule_test"][0]["alertname"] == changed["alert"]
        ]
        path = folder / f"{number}.test.yml"
        write(path, sheet | {"tests": tests, "group_eval_order": ["all"]})
        tested = promtool("test", "rules", path)
        if tested.returncode:
            # Not because promtool could not read it.
            assert "exp:[" in tested.stdout + tested.stderr, tested.stderr
            return False
    return True


def write(path: Path, content: object) -> None:
    # JSON is YAML, and is written faster.
    path.write_text(json.dumps(content))
