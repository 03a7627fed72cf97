import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.dev.script import ROOT
from tests.support.consumer_process import wait_until

# An interpreter whose `-m venv` copies it to .venv, and whose pip ends as pip does at a Ctrl-C.
INTERPRETER = """#!/bin/sh
case "$*" in
  *venv*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
  *"pip install"*) trap 'exit 1' INT; touch installing; while :; do sleep 0.1; done ;;
esac
"""


@pytest.mark.timeout(30)
def test_a_ctrl_c_amid_pip_is_an_interruption_not_a_failure(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    shutil.copy(ROOT / "dev/setup.sh", tmp_path / "dev")
    interpreter = tmp_path / "python"
    interpreter.write_text(INTERPRETER)
    interpreter.chmod(0o755)
    process = subprocess.Popen(
        [tmp_path / "dev/setup.sh"],
        env=os.environ | {"PYTHON": str(interpreter)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        wait_until((tmp_path / "installing").exists, 15, "pip")
    finally:
        os.killpg(process.pid, signal.SIGINT)
        told, _ = process.communicate(timeout=10)

    assert process.returncode == 130
    assert told.endswith("\n✗ interrupted\n")
    assert "cannot install" not in told


def test_a_linked_environment_is_somebody_elses_and_stays_as_it_is(tmp_path: Path) -> None:
    """`venv --clear` goes through the link, and empties what another checkout works with."""
    checkout, others = tmp_path / "checkout", tmp_path / "others"
    (checkout / "dev").mkdir(parents=True)
    shutil.copy(ROOT / "dev/setup.sh", checkout / "dev")
    others.mkdir()
    (others / "kept").touch()
    (checkout / ".venv").symlink_to(others)

    told = subprocess.run(
        [checkout / "dev/setup.sh"],
        env=os.environ | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (others / "kept").exists()
    assert told.returncode == 1
    assert f".venv is a link to {others}" in told.stderr
