"""Opening the ledger that the settings name."""

import os
from datetime import timedelta
from pathlib import Path

import pytest

from consumer.core.ledger_url import LedgerURL
from consumer.ledger.opening import LedgerUnusable, open_ledger

NOBODY = 65534


def test_root_leaves_nothing_in_a_folder_of_another_user(tmp_path: Path) -> None:
    assert os.geteuid() == 0, "the tests run as root"
    folder = tmp_path / "state"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)

    with pytest.raises(LedgerUnusable, match=f"--reuid {NOBODY}"):
        open_ledger(
            LedgerURL.parse(f"sqlite://{folder}/ledger.sqlite3"), tmp_path, timedelta(days=14), 1
        )

    assert list(folder.iterdir()) == []
