"""docker-compose.yml holds together: schema, mounts, pins, ports, start order and stop times."""

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from consumer.cli.run import STOP_SLACK
from consumer.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
CONSUMER = SERVICES["consumer"]

REFERENCE = re.compile(r"\$\{(\w+)(?::-(?P<default>[^}]*))?\}")


def with_defaults(value: object) -> str:
    """Return a value as compose reads it where .env is absent."""
    return REFERENCE.sub(lambda found: found["default"], str(value))


def mounts(service: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for mount in service.get("volumes", []):
        source, target = mount.split(":")[:2]
        yield source, target


@pytest.fixture
def consumer_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """Return the consumer's settings as its container reads them."""
    monkeypatch.chdir(tmp_path)
    for name, value in CONSUMER["environment"].items():
        monkeypatch.setenv(name, with_defaults(value))
    return load_settings()


def test_it_follows_the_compose_specification() -> None:
    checked = subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema"),
            *("--builtin-schema", "vendor.compose-spec"),
            ROOT / "docker-compose.yml",
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout


def test_its_services_are_the_broker_the_consumer_a_mail_catcher_and_the_monitoring() -> None:
    assert set(SERVICES) == {
        *("rabbitmq", "consumer", "mailpit"),
        *("node-exporter", "prometheus", "grafana"),
    }


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_an_image_is_built_here_or_pinned_to_one_version(name: str) -> None:
    service = SERVICES[name]
    pinned = re.search(r":v?\d+\.\d+\.\d+(-[a-z]+)?$", service.get("image", ""))

    assert ("build" in service) != bool(pinned)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_file_it_mounts_exists_and_every_volume_is_declared(name: str) -> None:
    for source, _target in mounts(SERVICES[name]):
        if source.startswith("."):
            assert (ROOT / source).exists(), source
        else:
            assert source in COMPOSE["volumes"]


def test_every_declared_volume_is_used() -> None:
    used = {source for service in SERVICES.values() for source, _target in mounts(service)}

    assert set(COMPOSE["volumes"]) == {source for source in used if not source.startswith(".")}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_ports_are_published_on_loopback_only(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)


@pytest.mark.parametrize("name", ["consumer", "node-exporter"])
def test_neither_the_consumer_nor_its_exporter_publishes_a_port(name: str) -> None:
    assert not {"ports", "expose", "network_mode"} & set(SERVICES[name])


def test_the_consumer_waits_for_a_healthy_broker_and_grafana_for_prometheus() -> None:
    assert CONSUMER["depends_on"]["rabbitmq"] == {"condition": "service_healthy"}
    assert SERVICES["grafana"]["depends_on"]["prometheus"] == {"condition": "service_healthy"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_what_is_waited_for_exists_and_can_be_healthy(name: str) -> None:
    for needed in SERVICES[name].get("depends_on", []):
        assert needed in SERVICES
        assert needed == "consumer" or "healthcheck" in SERVICES[needed]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_crashed_service_is_started_again(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"rabbitmq"}))
def test_a_service_needs_no_privilege(name: str) -> None:
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]


def test_the_consumer_has_an_init_and_a_root_it_cannot_write_to() -> None:
    assert CONSUMER["init"] is True
    assert CONSUMER["read_only"] is True


def test_docker_waits_longer_than_supervisor_and_supervisor_longer_than_a_worker(
    consumer_settings: Settings,
) -> None:
    docker_waits = timedelta(seconds=int(CONSUMER["stop_grace_period"].removesuffix("s")))

    assert docker_waits > consumer_settings.grace + STOP_SLACK > consumer_settings.grace


def test_the_consumers_settings_are_valid_and_point_at_the_other_services(
    consumer_settings: Settings,
) -> None:
    assert [relay.place for relay in consumer_settings.relays] == ["mailpit:1025"]
    assert consumer_settings.amqp_urls == ("amqp://hopmail:hopmail@rabbitmq:5672/%2F",)
    assert consumer_settings.processes == 2


def test_the_exporter_serves_the_volume_the_consumer_writes_and_nothing_else() -> None:
    written = dict(mounts(CONSUMER))["metrics"]
    exporter = SERVICES["node-exporter"]

    assert [*mounts(exporter)] == [("metrics", written)]
    assert f"--collector.textfile.directory={written}" in exporter["command"]
    assert "--collector.disable-defaults" in exporter["command"]


def test_the_exporter_tells_of_series_that_it_drops() -> None:
    """HopmailFiguresRejected needs promhttp_metric_handler_errors_total.

    node_exporter 1.12 has it among its own metrics (innerHandler in node_exporter.go).
    """
    assert "--web.disable-exporter-metrics" not in SERVICES["node-exporter"]["command"]


def test_every_variable_has_a_default_and_stands_in_the_example_with_it() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    example = (ROOT / ".env.example").read_text()
    read = {found[1]: found["default"] for found in REFERENCE.finditer(text)}

    assert read == dict(re.findall(r"^(\w+)=(.*)$", example, re.MULTILINE))


def test_the_example_is_an_env_file_that_hopmail_can_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text((ROOT / ".env.example").read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOPMAIL_AMQP_URL", "amqp://localhost")
    monkeypatch.setenv("HOPMAIL_SMTP_URL", "smtp://localhost:1025?tls=none")

    assert load_settings().processes == 2
