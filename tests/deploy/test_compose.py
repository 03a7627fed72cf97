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
from consumer.settings.model import settings_table, variables

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
CONSUMER = SERVICES["consumer"]

EXAMPLE = (ROOT / ".env.example").read_text()
GIVEN = dict(re.findall(r"^(\w+)=(.*)$", EXAMPLE, re.MULTILINE))
PASSED_ON = re.findall(r"^# (HOPMAIL_\w+)=(.*)$", EXAMPLE, re.MULTILINE)
COMMANDS = {"operator", "deploy"}
OPEN_KEYS = "HOPMAIL_DEADLETTER_OPEN_KEYS"
SERVING = {name for name, service in SERVICES.items() if "profiles" not in service}

REFERENCE = re.compile(r"\$\{(\w+)(?::(?:-(?P<default>[^}]*)|\?(?P<demand>[^}]*)))?\}")
"""A variable with its default, or with what compose says when it is missing."""


def from_example(value: object) -> str:
    """Return a value as compose reads it, with `secret` for a password."""
    return REFERENCE.sub(lambda found: GIVEN[found[1]] or "secret", str(value))


def mounts(service: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for mount in service.get("volumes", []):
        source, target = mount.split(":")[:2]
        yield source, target


def needs(service: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return which services it waits for, and how."""
    needed = service.get("depends_on", {})
    return needed if isinstance(needed, dict) else {each: {} for each in needed}


def settings_of(service: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Settings:
    """Return a service's settings as its container reads them."""
    monkeypatch.chdir(folder)
    for name, value in SERVICES[service]["environment"].items():
        if value is not None:
            monkeypatch.setenv(name, from_example(value))
    return load_settings()


@pytest.fixture
def consumer_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """Return the consumer's settings."""
    return settings_of("consumer", monkeypatch, tmp_path)


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


def test_without_a_profile_it_is_the_service_with_its_monitoring() -> None:
    assert {"rabbitmq", "consumer", "node-exporter", "prometheus", "grafana"} == SERVING


def test_the_mail_catcher_and_the_operators_commands_have_a_profile_each() -> None:
    profiles = {name: SERVICES[name]["profiles"] for name in set(SERVICES) - SERVING}

    assert profiles == {"mailpit": ["dev"], **{name: ["operator"] for name in COMMANDS}}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_an_image_is_built_here_or_pinned_to_one_version(name: str) -> None:
    service = SERVICES[name]
    pinned = re.search(r":v?\d+\.\d+\.\d+(-[a-z]+)?$", service["image"])

    assert ("build" in service) != bool(pinned)


def test_there_may_be_several_consumers() -> None:
    """`--scale consumer=3`: nothing of them is one container's alone."""
    assert not {"container_name", "hostname", "ports"} & set(CONSUMER)
    assert "HOPMAIL_WORKER" not in CONSUMER["environment"]


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


def test_ours_wait_for_a_healthy_broker_and_grafana_for_prometheus() -> None:
    for name in ("consumer", *COMMANDS):
        assert SERVICES[name]["depends_on"]["rabbitmq"] == {"condition": "service_healthy"}
    assert SERVICES["grafana"]["depends_on"]["prometheus"] == {"condition": "service_healthy"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_what_is_waited_for_exists_and_can_be_healthy(name: str) -> None:
    for needed in needs(SERVICES[name]):
        assert needed in SERVICES
        # The consumer's health check is its image's.
        assert needed == "consumer" or "test" in SERVICES[needed]["healthcheck"]


@pytest.mark.parametrize("name", sorted(SERVING))
def test_who_waits_for_a_service_with_a_profile_does_without_where_that_is_off(name: str) -> None:
    for needed, how in needs(SERVICES[name]).items():
        assert needed in SERVING or how["required"] is False


@pytest.mark.parametrize("name", sorted(set(SERVICES) - COMMANDS))
def test_a_crashed_service_is_started_again(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", sorted(set(SERVICES) - COMMANDS - {"consumer"}))
def test_a_service_tells_whether_it_is_well(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_has_its_limits_and_keeps_no_log_for_ever(name: str) -> None:
    assert re.fullmatch(r"\d+[mg]", SERVICES[name]["mem_limit"])
    assert SERVICES[name]["pids_limit"]
    assert SERVICES[name]["logging"] == {"driver": "local"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_needs_no_privilege(name: str) -> None:
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", ["consumer", *sorted(COMMANDS)])
def test_ours_have_an_init_and_a_root_they_cannot_write_to(name: str) -> None:
    assert SERVICES[name]["init"] is True
    assert SERVICES[name]["read_only"] is True


def test_docker_waits_longer_than_supervisor_and_supervisor_longer_than_a_worker(
    consumer_settings: Settings,
) -> None:
    docker_waits = timedelta(seconds=int(CONSUMER["stop_grace_period"].removesuffix("s")))

    assert docker_waits > consumer_settings.grace + STOP_SLACK > consumer_settings.grace


def test_the_consumers_settings_are_valid_and_point_at_the_other_services(
    consumer_settings: Settings,
) -> None:
    assert [relay.place for relay in consumer_settings.relays] == ["mailpit:1025"]
    assert consumer_settings.amqp_urls == ("amqp://consumer:secret@rabbitmq:5672/%2F",)
    assert consumer_settings.processes == 2


def test_those_who_publish_copies_believe_each_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for service in ("consumer", *COMMANDS):
        settings = settings_of(service, monkeypatch, tmp_path)
        assert settings.login == service
        assert settings.trusted_logins == {"consumer", *COMMANDS}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_commands_share_the_consumers_ledger_and_settings(name: str) -> None:
    assert [*mounts(CONSUMER)] == [*mounts(SERVICES[name])]
    assert "state" in dict(mounts(CONSUMER))
    assert passed_on(name) - {OPEN_KEYS} == passed_on("consumer")


def passed_on(service: str) -> set[str]:
    """Return the settings that a service's container has as .env has them."""
    return {name for name, value in SERVICES[service]["environment"].items() if value is None}


def test_every_setting_can_be_given() -> None:
    """But what hangs on the other services, volumes, or `hopmail run`."""
    ours = {f"HOPMAIL_{name}" for name in ("AMQP_URL", "SMTP_URL", "OPERATOR_LOGINS")}
    fixed = {f"HOPMAIL_{name}" for name in ("STATE_DIR", "METRICS_DIR", "WORKER")}

    assert passed_on("consumer") == set(variables()) - ours - fixed - {OPEN_KEYS}


def test_the_keys_that_open_dead_letters_are_the_operators_alone() -> None:
    assert [name for name in SERVICES if OPEN_KEYS in str(SERVICES[name])] == ["operator"]


def test_the_example_names_every_setting_with_its_default() -> None:
    defaults = {name: default for name, default, _meaning in settings_table()}
    given = passed_on("operator")

    assert dict(PASSED_ON) == {name: defaults[name] for name in given}
    assert len(PASSED_ON) == len(given)


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


def test_every_variable_stands_in_the_example_with_its_default_or_is_demanded() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    read = {found[1]: found for found in REFERENCE.finditer(text)}

    assert set(read) == set(GIVEN) - {"COMPOSE_PROFILES"}
    for name, found in read.items():
        if found["demand"] is None:
            assert found["default"] == GIVEN[name]
        else:
            assert found["demand"] in {"run make env", "name your relay in .env"}


def test_no_secret_has_a_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    secrets = {name for name in GIVEN if name.endswith("_PASSWORD")} | {"RELAY_URL"}

    assert len(secrets) == 6
    assert all(GIVEN[name] == "" for name in secrets - {"RELAY_URL"})
    assert {found[1] for found in REFERENCE.finditer(text) if found["demand"]} == secrets
    assert not re.search(r"(?i)passw(or)?d\S*: (?!\$\{)\S", text)


def test_the_example_catches_mail_with_the_profile_that_has_the_catcher() -> None:
    assert "mailpit" in GIVEN["RELAY_URL"]
    assert [GIVEN["COMPOSE_PROFILES"]] == SERVICES["mailpit"]["profiles"]


def test_the_example_is_an_env_file_that_hopmail_can_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text((ROOT / ".env.example").read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOPMAIL_AMQP_URL", "amqp://localhost")
    monkeypatch.setenv("HOPMAIL_SMTP_URL", "smtp://localhost:1025?tls=none")

    assert load_settings().processes == 2
