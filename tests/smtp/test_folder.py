"""The folder that stands in for a relay: real files, and the same outcomes as a relay's."""

import os
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.answer import Answer
from consumer.core.envelope import Envelope
from consumer.core.folder_url import FolderURL
from consumer.core.outcome import Accepted, InDoubt, Refused, Reply, Stage, Unreachable
from consumer.smtp.folder import Folder, file_name
from consumer.smtp.relays import Relays
from consumer.smtp.session import GivenBack
from tests.support.consumer_process import wait_until
from tests.support.small_disk import small_disk

ADA, BOB = "ada@example.org", "bob@example.org"
ENVELOPE = Envelope("app@example.org", (ADA, BOB), "order/4711")
CONTENT = b"From: app@example.org\r\nTo: ada@example.org\r\nSubject: Hi\r\n\r\n.Hello\r\n"
NOW = datetime(2026, 11, 28, 22, 0, 0, 5, tzinfo=UTC)


def yes(_recipients: tuple[str, ...]) -> bool:
    return True


def write(
    folder: Path,
    envelope: Envelope = ENVELOPE,
    content: bytes = CONTENT,
    before_dot: Callable[[tuple[str, ...]], bool] = yes,
) -> Answer:
    transactor = Folder(FolderURL(str(folder))).transactor()
    return transactor.transact(envelope, content, before_dot)


def files(folder: Path) -> list[Path]:
    """Return everything in it, what is unfinished too."""
    return sorted(folder.iterdir())


def test_a_mail_becomes_a_file_that_a_mail_program_reads(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "here"

    answer = write(folder)

    (file,) = files(folder)
    assert answer == tuple(
        (name, Accepted(Reply(250, "2.0.0", f"written to {file.name}"))) for name in (ADA, BOB)
    )
    assert re.fullmatch(r"\d{8}T\d{6}\.\d{6}Z-order%2F4711\.eml", file.name)
    assert file.read_bytes().endswith(CONTENT)
    read = message_from_bytes(file.read_bytes(), policy=SMTP)
    assert read["X-Envelope-From"] == "app@example.org"
    assert str(read["X-Envelope-To"]) == f"{ADA}, {BOB}", "Bob is a blind copy"
    assert read["Subject"] == "Hi"


def test_it_is_whole_before_the_dot_and_has_its_name_after_it(tmp_path: Path) -> None:
    seen: list[tuple[list[str], bytes, tuple[str, ...]]] = []

    def look(recipients: tuple[str, ...]) -> bool:
        found = files(tmp_path)
        seen.append(([file.name for file in found], found[0].read_bytes(), recipients))
        return True

    write(tmp_path, before_dot=look)

    (file,) = files(tmp_path)
    assert seen == [([f".{file.name}.unfinished"], file.read_bytes(), (ADA, BOB))]


def test_the_mail_is_on_the_disk_before_the_dot_and_its_name_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def fsync(descriptor: int) -> None:
        done.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    def dot(_recipients: tuple[str, ...]) -> bool:
        done.append("dot")
        return True

    monkeypatch.setattr(os, "fsync", fsync)
    write(tmp_path, before_dot=dot)

    (file,) = files(tmp_path)
    assert done == [f".{file.name}.unfinished", "dot", tmp_path.name]


def test_what_is_given_back_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(GivenBack):
        write(tmp_path, before_dot=lambda _recipients: False)
    assert files(tmp_path) == []


def test_a_ledger_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(_recipients: tuple[str, ...]) -> bool:
        raise LookupError

    with pytest.raises(LookupError):
        write(tmp_path, before_dot=fail)
    assert files(tmp_path) == []


def test_a_full_disk_is_refused_for_now_and_then_takes_it(tmp_path: Path) -> None:
    asked: list[tuple[str, ...]] = []

    def remember(recipients: tuple[str, ...]) -> bool:
        asked.append(recipients)
        return True

    with small_disk(tmp_path / "disk", 64) as disk:
        (disk / "hog").write_bytes(bytes(60 * 1024))

        answer = write(disk, content=CONTENT * 100, before_dot=remember)

        refused = Refused(Stage.DATA, Reply(452, "4.3.1", "insufficient storage in the folder"))
        assert answer == ((ADA, refused), (BOB, refused))
        assert not refused.reply.is_permanent
        assert asked == []
        assert [file.name for file in files(disk)] == ["hog"]

        (disk / "hog").unlink()
        ((_ada, outcome), _bob) = write(disk, content=CONTENT * 100)
        assert isinstance(outcome, Accepted)


def test_a_folder_that_cannot_be_written_to_is_the_relays_trouble(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    ((_ada, outcome), _bob) = write(tmp_path / "file")

    assert isinstance(outcome, Unreachable)
    assert outcome.stage is Stage.CONNECT, "no attempt is spent"
    assert "the folder cannot be written to (" in outcome.detail


@pytest.mark.parametrize(("has_name", "kind"), [(False, Refused), (True, InDoubt)])
def test_a_name_that_cannot_be_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_name: bool, kind: type
) -> None:
    def rename(unfinished: Path, file: Path) -> None:
        if has_name:
            os.link(unfinished, file)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "rename", rename)

    ((_ada, outcome), _bob) = write(tmp_path)

    assert type(outcome) is kind
    assert len(files(tmp_path)) == has_name


def test_an_address_that_is_none_writes_no_header_of_its_own(tmp_path: Path) -> None:
    envelope = Envelope("app@example.org", ("a@example.org>\r\nX-Evil: yes",), "m-1")

    ((_name, outcome),) = write(tmp_path, envelope)

    assert isinstance(outcome, Refused)
    assert files(tmp_path) == []


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=200))
def test_a_name_holds_any_message_id_and_stays_a_name(message_id: str) -> None:
    name = file_name(message_id, NOW)

    assert Path(name).name == name
    assert len(f".{name}.unfinished") <= 255
    assert re.fullmatch(r"20261128T220000\.000005Z-[A-Za-z0-9_.~%-]+\.eml", name)
    assert name < file_name("", NOW + timedelta(microseconds=1))


def test_a_mail_of_the_same_name_is_another_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = iter(["m.eml", "m.eml", "n.eml"])
    monkeypatch.setattr("consumer.smtp.folder.file_name", lambda *_of: next(names))
    (tmp_path / ".m.eml.unfinished").write_text("another's")

    write(tmp_path)

    others, ours = files(tmp_path)
    assert (others.name, ours.name) == (".m.eml.unfinished", "n.eml")
    assert others.read_text() == "another's"


def test_long_message_ids_do_not_share_a_name() -> None:
    assert file_name("/" * 199 + "a", NOW) != file_name("/" * 199 + "b", NOW)


def test_the_breaker_waits_for_the_folder(tmp_path: Path) -> None:
    place = tmp_path / "folder"
    place.touch()
    relays = Relays([FolderURL(str(place))], tmp_path)
    try:
        transactor = relays.transactor(threading.Event())
        with transactor.turn() as has_turn:
            assert has_turn
            ((_ada, outcome), _bob) = transactor.transact(ENVELOPE, CONTENT, yes)
        assert isinstance(outcome, Unreachable)
        transactor.open(outcome)
        assert relays.is_open

        place.unlink()
        wait_until(lambda: not relays.is_open, what="the probe")
        with transactor.turn():
            ((_ada, outcome), _bob) = transactor.transact(ENVELOPE, CONTENT, yes)
        assert isinstance(outcome, Accepted)
        assert relays.sessions_open == {f"file://{place}": 0}
    finally:
        relays.stop()
    assert len(files(place)) == 1


def test_a_probe_says_whether_and_why_not(tmp_path: Path) -> None:
    good = Folder(FolderURL(str(tmp_path / "new"))).probe()
    bad = Folder(FolderURL("/proc/nope")).probe()

    assert (good.trouble, good.steps[0].ok, files(tmp_path / "new")) == (None, True, [])
    (step,) = bad.steps
    assert not step.ok
    assert bad.trouble is not None
    assert step.detail.startswith("the folder cannot be written to (")
    assert "HOPMAIL_SMTP_URL" in step.cure
