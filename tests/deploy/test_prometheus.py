"""Prometheus scrapes the services that the compose file starts."""

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
CONFIG: dict[str, Any] = yaml.safe_load(
    (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text()
)
JOBS: dict[str, dict[str, Any]] = {job["job_name"]: job for job in CONFIG["scrape_configs"]}

NODE_EXPORTER_PORT = 9100
RABBITMQ_PROMETHEUS_PORT = 15692


def targets(job: str) -> list[str]:
    return [target for config in JOBS[job]["static_configs"] for target in config["targets"]]


def test_the_workers_figures_come_from_the_node_exporter() -> None:
    assert targets("hopmail") == [f"node-exporter:{NODE_EXPORTER_PORT}"]
    assert not any("--web.listen-address" in flag for flag in SERVICES["node-exporter"]["command"])


@pytest.mark.parametrize("job", ["rabbitmq", "rabbitmq-queues"])
def test_the_brokers_figures_come_from_its_own_plugin(job: str) -> None:
    plugins = (ROOT / "deploy" / "rabbitmq" / "enabled_plugins").read_text()

    assert targets(job) == [f"rabbitmq:{RABBITMQ_PROMETHEUS_PORT}"]
    assert "rabbitmq" in SERVICES
    assert plugins == "[rabbitmq_management,rabbitmq_prometheus].\n"


def test_each_queues_depth_and_consumers_are_scraped() -> None:
    assert JOBS["rabbitmq-queues"]["metrics_path"] == "/metrics/detailed"
    assert JOBS["rabbitmq-queues"]["params"] == {
        "family": ["queue_coarse_metrics", "queue_consumer_count"]
    }


def test_nothing_else_is_scraped() -> None:
    assert set(JOBS) == {"hopmail", "rabbitmq", "rabbitmq-queues"}
