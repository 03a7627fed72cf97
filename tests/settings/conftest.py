"""An environment without settings, in an empty folder."""

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take away what the machine's own environment may set."""
    for name in list(os.environ):
        if name.upper().startswith("HOPMAIL_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("consumer.settings.load.SECRETS", tmp_path / "secrets")
