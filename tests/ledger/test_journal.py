"""The journal: what is noted is there, whatever the process's end; and it does not grow."""

import errno
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer.core.ledger import Claim, Ending, Generation, Key, State, Wanted
from consumer.ledger import journal as journal_module
from consumer.ledger.journal import SEGMENTS, Journal, read_journal

GENERATION = Generation(0, 2)
DOUBT = Ending(State.DOUBTFUL, GENERATION)
TAKEN = Ending(State.ACCEPTED, GENERATION, "250 2.0.0 queued")


def claim(*recipients: str, message_id: str = "m-1") -> Claim:
    wanted = Wanted(Key("webapp", message_id), GENERATION, b"p" * 16, recipients)
    return Claim(wanted, granted=recipients)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    found = Journal(tmp_path)
    yield found
    found.close()


def size(folder: Path) -> int:
    """Return how many bytes of notes there are."""
    return sum(len((folder / name).read_bytes().rstrip(b"\0")) for name in SEGMENTS)


def test_a_dot_without_an_answer_is_a_doubt_for_those_it_was_for(
    journal: Journal, tmp_path: Path
) -> None:
    journal.sending(claim("a", "b"), ["b"])

    assert read_journal(tmp_path) == {Key("webapp", "m-1"): {"b": DOUBT}}


def test_an_answer_replaces_the_doubt(journal: Journal, tmp_path: Path) -> None:
    journal.sending(claim("a", "b"), ["a", "b"])
    journal.answered(claim("a", "b"), {"a": TAKEN, "b": Ending(State.OPEN, GENERATION)})

    assert read_journal(tmp_path) == {
        Key("webapp", "m-1"): {"a": TAKEN, "b": Ending(State.OPEN, GENERATION)}
    }


def test_without_a_dot_no_answer_is_noted(journal: Journal, tmp_path: Path) -> None:
    journal.answered(claim("a"), {"a": Ending(State.OPEN, GENERATION)})

    assert size(tmp_path) == 0


def test_two_copies_for_different_recipients_are_kept_apart(
    journal: Journal, tmp_path: Path
) -> None:
    journal.sending(claim("a"), ["a"])
    journal.sending(claim("b"), ["b"])
    journal.answered(claim("a"), {"a": TAKEN})

    assert read_journal(tmp_path)[Key("webapp", "m-1")] == {"a": TAKEN, "b": DOUBT}

    journal.forget([claim("a")])

    assert read_journal(tmp_path)[Key("webapp", "m-1")] == {"b": DOUBT}, "the ledger has the other"


@pytest.mark.parametrize("cut", [2, 5, 20, 40])
def test_a_torn_last_note_was_never_made(journal: Journal, tmp_path: Path, cut: int) -> None:
    journal.sending(claim("a", message_id="m-1"), ["a"])
    journal.sending(claim("a", message_id="m-2"), ["a"])
    path = tmp_path / SEGMENTS[0]
    path.write_bytes(path.read_bytes().rstrip(b"\0")[:-cut])

    assert set(read_journal(tmp_path)) == {Key("webapp", "m-1")}


def test_a_damaged_note_is_not_believed(journal: Journal, tmp_path: Path) -> None:
    journal.sending(claim("a"), ["a"])
    path = tmp_path / SEGMENTS[0]
    path.write_bytes(path.read_bytes().replace(b"m-1", b"m-9"))

    assert read_journal(tmp_path) == {}


@pytest.mark.parametrize("last", range(1, 13))
def test_the_later_word_counts_whichever_segment_it_is_in(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    monkeypatch.setattr(journal_module, "SEGMENT_BYTES", 300)
    for _ in range(last):
        journal.sending(claim("a"), ["a"])
        journal.answered(claim("a"), {"a": Ending(State.OPEN, GENERATION)})
        journal.forget([claim("a")])

    journal.sending(claim("a"), ["a"])

    assert read_journal(tmp_path)[Key("webapp", "m-1")] == {"a": DOUBT}


def test_no_journal_says_nothing(tmp_path: Path) -> None:
    assert read_journal(tmp_path / "nowhere") == {}


def test_what_the_ledger_has_is_dropped_and_what_it_has_not_is_kept(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "SEGMENT_BYTES", 2_000)
    old = claim("a", message_id="old")
    journal.sending(old, ["a"])
    largest = 0
    for number in range(500):
        each = claim("a", message_id=f"m-{number}")
        journal.sending(each, ["a"])
        journal.answered(each, {"a": TAKEN})
        journal.forget([each])
        largest = max(largest, size(tmp_path))
        assert read_journal(tmp_path)[Key("webapp", "old")] == {"a": DOUBT}

    journal.forget([old])
    for number in range(100):
        each = claim("a", message_id=f"n-{number}")
        journal.sending(each, ["a"])
        journal.forget([each])

    assert largest > 20_000, "one that is still open keeps the notes that follow it"
    assert size(tmp_path) < 5_000


def test_a_doubt_whose_end_could_not_be_noted_goes_with_its_segment(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "SEGMENT_BYTES", 2_000)

    def send(message_id: str) -> None:
        each = claim("a", message_id=message_id)
        journal.sending(each, ["a"])
        journal.forget([each])

    for _ in range(4):
        send("before")
    journal.sending(claim("a", message_id="old"), ["a"])
    with monkeypatch.context() as full:
        full.setattr(journal_module, "_append", _fail)
        journal.forget([claim("a", message_id="old")])
    assert set(read_journal(tmp_path)) >= {Key("webapp", "old")}
    first, second = journal._segments
    while journal._active is first:
        send("filling")
    while journal._active is second:
        send("filling")

    assert Key("webapp", "old") not in read_journal(tmp_path), "claimed anew it would be in doubt"


def _fail(*_args: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


FILLS_ITS_DISK = """
import resource, sys
from pathlib import Path
from consumer.ledger import journal as journal_module
from consumer.ledger.journal import Journal
from tests.ledger.test_journal import claim

journal_module.SEGMENT_BYTES = 700
journal = Journal(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))
for number in range(1_000):
    try:
        journal.sending(claim("a", message_id=f"m-{number}"), ["a"])
    except OSError as error:
        print(number, error.errno)
        break
"""


def test_a_full_disk_is_told_and_leaves_no_half_note(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-c", FILLS_ITS_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )

    noted, number = map(int, found.stdout.split())
    assert number in {errno.ENOSPC, errno.EFBIG}
    assert len(read_journal(tmp_path)) == noted
    assert (tmp_path / SEGMENTS[0]).read_bytes().rstrip(b"\0").endswith(b"\n")


def test_once_closed_it_writes_to_nobodys_file(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    journal = Journal(folder)
    journal.sending(claim("a"), ["a"])
    journal.close()
    with (tmp_path / "one").open("wb") as one, (tmp_path / "other").open("wb") as other:
        with pytest.raises(OSError, match="the journal is closed"):
            journal.answered(claim("a"), {"a": TAKEN})

        assert (one.tell(), other.tell()) == (0, 0)


def test_a_segment_that_grew_is_small_again_once_it_is_empty(
    journal: Journal, tmp_path: Path
) -> None:
    claims = [claim("a", message_id=f"m-{number}") for number in range(20_000)]
    for each in claims:
        journal.sending(each, ["a"])
    grown = (tmp_path / SEGMENTS[0]).stat().st_size
    assert len(read_journal(tmp_path)) == 20_000
    journal.forget(claims)
    for number in range(30_000):
        each = claim("a", message_id=f"n-{number}")
        journal.sending(each, ["a"])
        journal.forget([each])

    assert grown > journal_module.SEGMENT_BYTES
    assert (tmp_path / SEGMENTS[0]).stat().st_size == journal_module.SEGMENT_BYTES
    assert read_journal(tmp_path).get(Key("webapp", "m-1"), {}) == {}


def test_its_blocks_are_on_the_disk_before_they_are_needed(
    journal: Journal, tmp_path: Path
) -> None:
    def reserved() -> list[bool]:
        found = [(tmp_path / name).stat() for name in SEGMENTS]
        return [each.st_blocks * 512 >= each.st_size > 0 for each in found]

    assert reserved() == [True, True]
    for number in range(20_000):
        journal.sending(claim("a", message_id=f"m-{number}"), ["a"])

    assert (tmp_path / SEGMENTS[0]).stat().st_size > journal_module.SEGMENT_BYTES
    assert reserved() == [True, True]
