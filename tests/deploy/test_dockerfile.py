"""The image is pinned, built apart from what runs, and runs without root or a port."""

import json
import re
import tomllib
from pathlib import Path

import yaml
from typer.testing import CliRunner

from consumer.cli.app import app

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
CONSUMER = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["consumer"]


def instructions(keyword: str) -> list[str]:
    return re.findall(rf"^{keyword}\s+(.+)$", DOCKERFILE, re.MULTILINE)


def final_stage() -> str:
    return DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]


def test_both_stages_start_from_one_pinned_python() -> None:
    assert instructions("FROM") == ["${PYTHON_IMAGE} AS build", "${PYTHON_IMAGE}"]
    [base] = instructions("ARG")
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.11\.\d+-slim-\w+", base)


def test_it_installs_the_versions_that_were_tested() -> None:
    assert re.search(r"--constraint constraints\.txt +'\.\[consumer,redis,encrypt\]'", DOCKERFILE)


def test_its_labels_are_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    labels = dict(re.findall(r"org\.opencontainers\.image\.(\w+)=\"([^\"]*)\"", final_stage()))

    assert set(labels) == {"title", "description", "version", "licenses"}
    assert labels["title"].lower() == project["name"]
    assert labels["version"] == project["version"]
    assert labels["licenses"] == project["license"]


def test_it_is_stopped_as_hopmail_run_expects() -> None:
    """What SIGTERM does is in tests/integration/test_lifecycle.py."""
    assert instructions("STOPSIGNAL") == ["SIGTERM"]


def test_nothing_is_installed_in_the_final_stage() -> None:
    assert not re.search(r"\b(apt-get|pip)\b", final_stage())


def test_it_runs_as_a_numbered_user_that_is_not_root() -> None:
    [user] = re.findall(r"^USER (\d+):(\d+)$", final_stage(), re.MULTILINE)

    assert "0" not in user
    assert CONSUMER["tmpfs"] == [f"/run/hopmail:uid={user[0]},gid={user[1]},mode=0700"]


def test_what_supervisor_writes_goes_into_the_folder_that_compose_makes_writable() -> None:
    assert re.search(r"\bTMPDIR=/run/hopmail\b", final_stage())


def test_it_runs_the_consumers_under_supervisor_and_opens_no_port() -> None:
    assert instructions("CMD") == ['["hopmail", "run"]']
    assert instructions("EXPOSE") == []


def test_the_metrics_and_state_folders_are_those_that_compose_keeps() -> None:
    kept = dict(volume.split(":") for volume in CONSUMER["volumes"])

    assert set(kept) == {"metrics", "state"}
    for name, folder in kept.items():
        assert f"HOPMAIL_{name.upper()}_DIR={folder}" in final_stage()
        assert f" {folder}" in " ".join(instructions("RUN"))


def test_only_named_files_reach_the_build() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if not line.startswith("#")]
    named = [rule.removeprefix("!") for rule in rules if rule.startswith("!")]

    assert rules[0] == "*"
    assert all((ROOT / name).exists() for name in named)
    assert not any(name.startswith(".") for name in named)


def test_the_health_check_is_the_command_that_says_whether_mail_flows() -> None:
    """What that one says, and its exit code, is in tests/integration/test_status.py."""
    [check] = re.findall(r"^HEALTHCHECK .*? CMD (.+)$", DOCKERFILE, re.MULTILINE)

    program, *arguments = json.loads(check)
    assert program == "hopmail"
    assert CliRunner().invoke(app, [*arguments, "--help"]).exit_code == 0
