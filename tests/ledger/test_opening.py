"""Opening the ledger that the settings name."""

import os
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from consumer.core.ledger_url import LedgerURL
from consumer.ledger.opening import LedgerUnusable, open_ledger
from consumer.ledger.probe import probe
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


def test_a_folder_that_cannot_be_written_is_a_line_and_exit_code_78(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    ended = hopmail(
        "consume",
        amqp_url="amqp://a:b@127.0.0.1:1",
        smtp_url="smtp://127.0.0.1:1?tls=none",
        state_dir=tmp_path / "file",
    )

    assert ended.returncode == 78
    assert ended.stderr.startswith(f"✗ HOPMAIL_STATE_DIR: {tmp_path}/file cannot be written by")


def test_without_the_extra_the_cure_is_that_of_the_readme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("consumer.ledger.redis")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)
    url = LedgerURL.parse("redis://127.0.0.1:1/0")

    with pytest.raises(LedgerUnusable) as unusable:
        open_ledger(url, tmp_path, timedelta(days=14), 1)
    _state, found = probe(url, tmp_path)

    cure = "pip install -c constraints.txt '.[consumer,redis]'"
    assert str(unusable.value).endswith(cure)
    assert found.text.endswith(cure)


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
