"""A real node_exporter and Prometheus, as tests and the picture have them."""

import os
from pathlib import Path

import pytest
import yaml

from dev.monitoring import CONFIG, SCRAPE, adapted, exporter_arguments, monitoring
from dev.prometheus import QueryRefused
from tests.dev.family import descendants, living
from tests.support.consumer_process import wait_until

ROOT = Path(__file__).parents[2]
CONFIGURED = yaml.safe_load(CONFIG.read_text())


def test_the_jobs_are_those_of_the_deployment_but_for_hosts_and_interval() -> None:
    made = adapted(CONFIGURED, {"node-exporter": 1, "rabbitmq": 2})

    def bare(config: dict[str, list[dict[str, object]]]) -> list[dict[str, object]]:
        return [{**job, "static_configs": None} for job in config["scrape_configs"]]

    assert bare(made) == bare(CONFIGURED)
    assert made["global"]["scrape_interval"] == SCRAPE
    assert [job["static_configs"] for job in made["scrape_configs"]] == [
        [{"targets": [f"127.0.0.1:{port}"]}] for port in (1, 2, 2)
    ]


def test_jobs_of_hosts_that_are_not_run_are_left_out() -> None:
    made = adapted(CONFIGURED, {"node-exporter": 1})

    assert [job["job_name"] for job in made["scrape_configs"]] == ["hopmail"]


def test_rules_are_read_where_they_lie() -> None:
    made = adapted({**CONFIGURED, "rule_files": ["/etc/prometheus/rules.yml"]}, {})

    assert made["rule_files"] == [str(CONFIG.parent / "rules.yml")]


def test_node_exporter_is_run_as_the_compose_file_runs_it() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    # As it does in the compose file, it listens on a port of its own.
    ours = [flag for flag in exporter_arguments(1, Path("/m")) if "listen-address" not in flag]

    assert {flag.partition("=")[0] for flag in services["node-exporter"]["command"]} == {
        flag.partition("=")[0] for flag in ours
    }


def test_a_file_is_scraped_and_nothing_is_left_running(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    (metrics / "one.prom").write_text('answer{of="all"} 42\n')
    before = descendants(os.getpid())

    with monitoring(tmp_path / "prometheus", metrics) as prometheus:
        started = descendants(os.getpid()) - before
        wait_until(lambda: prometheus.value("answer"), 30, "the figure")
        (series,) = prometheus.instant("answer")
        (moment, _value) = series.samples[0]

        assert (series.labels["of"], series.last) == ("all", 42)
        assert [one.last for one in prometheus.ranged("answer", moment - 5, moment, 1)] == [42]
        assert prometheus.value("no_such_figure") is None
        assert prometheus.value("1 + 1") == 2
        with pytest.raises(QueryRefused, match="parse error"):
            prometheus.instant("sum(")

    assert len(started) == 2
    wait_until(lambda: not started & living().keys(), 5, "an end of both")
