"""Opening the ledger that the settings name."""

import os
import sys
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from consumer.core.ledger import Claim
from consumer.core.ledger_url import LedgerURL
from consumer.ledger.opening import LedgerUnusable, open_ledger
from consumer.ledger.probe import probe
from consumer.ledger.sqlite import SqliteStore, folders_of
from tests.cli.command import hopmail
from tests.ledger.stores import wanted

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


@pytest.mark.parametrize("is_there", [True, False])
def test_a_ledger_by_two_names_is_one(tmp_path: Path, *, is_there: bool) -> None:
    real, alias = tmp_path / "state" / "ledger.sqlite3", tmp_path / "alias.sqlite3"
    real.parent.mkdir()
    if is_there:
        real.touch()
    alias.symlink_to(real)
    claims: list[Claim] = []

    opened = [
        open_ledger(LedgerURL.parse(f"sqlite://{path}"), tmp_path, timedelta(days=14), 1)
        for path in (real, alias)
    ]
    for ledger, _hands in opened:
        came = threading.Event()
        ledger.start(lambda _is_in_trouble: None)

        def done(found: Sequence[Claim], came: threading.Event = came) -> None:
            claims.extend(found)
            came.set()

        ledger.claim([wanted("a")], done)
        assert came.wait(10)
    for ledger, hands in opened:
        ledger.close(10)
        hands.close()

    first, second = claims
    assert first.granted == ("a",)
    assert second.must_wait


def test_what_is_probed_is_the_file_itself(tmp_path: Path) -> None:
    real, alias = tmp_path / "state" / "ledger.sqlite3", tmp_path / "alias.sqlite3"
    real.parent.mkdir()
    alias.symlink_to(real)

    (found,) = probe(LedgerURL.parse(f"sqlite://{alias}"), tmp_path)

    assert found.good
    assert str(real) in found.text
    assert not folders_of(alias).exists()
    assert folders_of(real).is_dir()


def test_a_probe_leaves_a_ledger_in_use_as_it_is(tmp_path: Path) -> None:
    url = LedgerURL.parse(f"sqlite://{tmp_path}/ledger.sqlite3")
    store = SqliteStore(tmp_path / "ledger.sqlite3", "me")
    store.apply([wanted("a")], [])
    before = _contents(tmp_path)

    (found,) = probe(url, tmp_path)

    after = _contents(tmp_path)
    store.close()
    assert found.good
    assert after == before


def _contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return what is in the ledger's files, and when each was written to."""
    return {
        name: ((folder / name).read_bytes(), (folder / name).stat().st_mtime_ns)
        for name in ("ledger.sqlite3", "ledger.sqlite3-wal")
    }


def test_a_name_that_leads_to_itself_is_no_place(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    url = LedgerURL.parse(f"sqlite://{loop}/ledger.sqlite3")

    with pytest.raises(LedgerUnusable, match=r"HOPMAIL_LEDGER_URL: .* cannot be written"):
        open_ledger(url, tmp_path, timedelta(days=14), 1)
