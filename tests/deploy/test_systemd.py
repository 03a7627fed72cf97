"""The unit is one that systemd understands, and agrees with settings, exit codes and stop times."""

import shutil
import subprocess
from configparser import RawConfigParser
from datetime import timedelta
from pathlib import Path

import pytest

from consumer.cli.run import STOP_SLACK
from consumer.core.durations import parse_duration
from consumer.core.exit_code import ExitCode
from consumer.settings import Settings

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "systemd" / "hopmail.service"
INSTALLED = "/opt/hopmail"
SLACK = timedelta(seconds=10)


def service() -> dict[str, str]:
    """Return the section; a key that is there twice is an error."""
    parser = RawConfigParser(comment_prefixes=("#",), inline_comment_prefixes=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # the documented way
    parser.read(UNIT)
    assert parser.sections() == ["Unit", "Service", "Install"]
    return dict(parser["Service"])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_understands_it(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "hopmail"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    # verify wants the program to be there.
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace(INSTALLED, str(tmp_path)))

    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False
    )

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_it_runs_what_is_installed_as_a_user_of_its_own() -> None:
    found = service()

    assert found["ExecStart"] == f"{INSTALLED}/bin/hopmail run"
    assert found["User"] == found["Group"] == "hopmail"
    assert found["CapabilityBoundingSet"] == ""
    assert found["EnvironmentFile"].startswith("/etc/")


def test_it_writes_where_the_settings_have_it_and_nowhere_else() -> None:
    found = service()

    assert Settings.model_fields["state_dir"].default == f"/var/lib/{found['StateDirectory']}"
    assert found["WorkingDirectory"] == f"/var/lib/{found['StateDirectory']}"
    # Of the other folders' users node_exporter must come in.
    assert int(found["StateDirectoryMode"], 8) & 0o005 == 0o005
    assert int(found["LogsDirectoryMode"], 8) & 0o007 == 0
    assert found["ProtectSystem"] == "strict"
    assert found["NoNewPrivileges"] == found["ProtectHome"] == found["PrivateTmp"] == "yes"


def test_it_is_started_again_unless_that_changes_nothing() -> None:
    found = service()

    assert found["Restart"] == "always"
    assert found["RestartPreventExitStatus"] == str(ExitCode.CONFIG.value)


def test_it_is_killed_only_after_supervisor_has_killed() -> None:
    grace = parse_duration(Settings.model_fields["grace"].default)

    assert service()["KillMode"] == "mixed"
    assert parse_duration(service()["TimeoutStopSec"]) >= grace + STOP_SLACK + SLACK
