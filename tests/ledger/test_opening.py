"""Opening the ledger that the settings name."""

import os
from datetime import timedelta
from pathlib import Path

import pytest

from consumer.core.ledger_url import LedgerURL
from consumer.ledger.opening import LedgerUnusable, open_ledger
from tests.cli.command import hopmail

NOBODY = 65534


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A state folder of another user's."""
    assert os.geteuid() == 0, "the tests run as root"
    folder = tmp_path / "state"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    return folder


@pytest.mark.parametrize("url", ["sqlite://{}/ledger.sqlite3", "redis://127.0.0.1:1/0"])
def test_root_leaves_nothing_in_a_folder_of_another_user(foreign: Path, url: str) -> None:
    with pytest.raises(LedgerUnusable, match=f"--reuid {NOBODY}"):
        open_ledger(LedgerURL.parse(url.format(foreign)), foreign, timedelta(days=14), 1)

    assert list(foreign.iterdir()) == []


@pytest.mark.parametrize("ledger_url", ["none", "redis://127.0.0.1:1/0"])
def test_root_begins_to_keep_no_rate_in_a_folder_of_another_user(
    foreign: Path, ledger_url: str
) -> None:
    ended = hopmail(
        "consume",
        amqp_url="amqp://a:b@127.0.0.1:1",
        smtp_url="smtp://127.0.0.1:1?tls=none&rate=1",
        state_dir=foreign,
        ledger_url=ledger_url,
    )

    assert ended.returncode == 78
    assert ended.stderr.startswith(f"✗ {foreign} belongs to user {NOBODY}, and what root makes")
    assert list(foreign.iterdir()) == []
