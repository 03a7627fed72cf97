"""What a process notes the moment it happens: the dot is due, the answer came. Survives kill -9."""

import errno
import json
import mmap
import os
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import Any, Final

from consumer.core.ledger import Claim, Ending, Generation, Key, State

SEGMENTS: Final = ("a.journal", "b.journal")
SEGMENT_BYTES: Final = 256 * 1024
CLOSED: Final = -1
ENCODER: Final = json.JSONEncoder(separators=(",", ":"))


class Note(StrEnum):
    """What a line of the journal says."""

    SENDING = "sending"
    ANSWERED = "answered"
    ENDED = "ended"


@dataclass(slots=True)
class _Segment:
    """A mapped file: to make a note no system call is needed, and no other thread let in."""

    file: int
    map: mmap.mmap
    size: int = 0
    open: int = 0
    """Claims with notes in it that the ledger has not yet."""


class Journal:
    """Append-only notes in two files, of which one is emptied once the ledger has all of it.

    A note is in the kernel's hands when its method returns: the process may be killed, not the
    machine. Thread-safe. Methods that note raise OSError when they cannot, and so does making one.
    """

    def __init__(self, folder: Path) -> None:
        with ExitStack() as undo:
            self._segments = []
            for name in SEGMENTS:
                self._segments.append(_open(folder / name))
                undo.callback(_close, self._segments[-1])
            undo.pop_all()
        self._active = self._segments[0]
        self._numbers = count()
        self._of: dict[tuple[Key, str], _Segment] = {}
        self._lock = threading.Lock()

    def sending(self, claim: Claim, recipients: Iterable[str]) -> bool:
        """Note that the next write may hold the dot for these recipients."""
        key, generation = claim.wanted.key, claim.wanted.generation
        mark = _mark(claim)
        with self._lock:
            segment = self._of.get(mark) or self._next_segment()
            _append(
                segment, [next(self._numbers), Note.SENDING, *key, *generation, list(recipients)]
            )
            if mark not in self._of:
                self._of[mark] = segment
                segment.open += 1
        return True

    def answered(self, claim: Claim, endings: Mapping[str, Ending]) -> None:
        """Note how a claim ends, if its dot was noted."""
        told = {
            name: [ending.state, *ending.generation, ending.note]
            for name, ending in endings.items()
        }
        with self._lock:
            segment = self._of.get(_mark(claim))
            if segment is not None:
                _append(segment, [next(self._numbers), Note.ANSWERED, *claim.wanted.key, told])

    def forget(self, claims: Iterable[Claim]) -> None:
        """The ledger has their ends: their notes are needed no more."""
        with self._lock:
            for segment, notes in self._ended(claims):
                # Lost, they would cost doubts where there are none, should we claim these anew.
                with suppress(OSError):
                    _append(segment, *notes)

    def check(self) -> None:
        """Find out whether notes can be taken."""
        with self._lock:
            _append(self._active, [next(self._numbers)])

    def close(self) -> None:
        """Close the files; what is in them stays."""
        with self._lock:
            for segment in self._segments:
                _close(segment)

    def _ended(self, claims: Iterable[Claim]) -> Iterator[tuple[_Segment, list[list[object]]]]:
        """Close what is open of these claims; yield what is to be noted in each segment."""
        notes: dict[int, list[list[object]]] = {}
        for claim in claims:
            segment = self._of.pop(_mark(claim), None)
            if segment is not None:
                segment.open -= 1
                note = [next(self._numbers), Note.ENDED, *claim.wanted.key, list(claim.held)]
                notes.setdefault(segment.file, []).append(note)
        for segment in self._segments:
            if segment.file in notes:
                yield segment, notes[segment.file]

    def _next_segment(self) -> _Segment:
        if self._active.size < SEGMENT_BYTES:
            return self._active
        other = next(segment for segment in self._segments if segment is not self._active)
        if other.open == 0:
            _clear(other)
            self._active = other
        return self._active


def read_journal(folder: Path) -> dict[Key, dict[str, Ending]]:
    """Return how each claim that got as far as the dot ends, from a dead process's notes.

    What was `sending` and got no answer is doubtful; what the ledger has is left out. A torn last
    line was not finished, so neither was the dot sent. Raises OSError.
    """
    found: dict[Key, dict[str, Ending]] = {}
    notes = (note for name in SEGMENTS for note in _lines(folder / name))
    # Either segment may hold the later word on a recipient.
    for _number, *note in sorted(notes, key=lambda note: note[0]):
        match note:
            case [
                Note.SENDING,
                str(login),
                str(message_id),
                int(epoch),
                int(attempt),
                list(names),
            ]:
                doubt = Ending(State.DOUBTFUL, Generation(epoch, attempt))
                endings = dict.fromkeys(names, doubt)
            case [Note.ANSWERED, str(login), str(message_id), dict(told)]:
                endings = {
                    recipient: Ending(State(state), Generation(epoch, attempt), note)
                    for recipient, (state, epoch, attempt, note) in told.items()
                }
            case [Note.ENDED, str(login), str(message_id), list(names)]:
                for name in names:
                    found.get(Key(login, message_id), {}).pop(name, None)
                continue
            case _:
                continue
        found.setdefault(Key(login, message_id), {}).update(endings)
    return found


def _mark(claim: Claim) -> tuple[Key, str]:
    # Copies of one message may be in hands at once, for different recipients.
    return claim.wanted.key, claim.held[0]


def _open(path: Path) -> _Segment:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # Without its blocks on the disk, a note would end the process once that is full.
        os.posix_fallocate(file, 0, SEGMENT_BYTES)
        return _Segment(file, mmap.mmap(file, SEGMENT_BYTES))
    except BaseException:
        os.close(file)
        raise


def _close(segment: _Segment) -> None:
    segment.map.close()
    os.close(segment.file)
    # Its number may be another file's soon.
    segment.file = CLOSED


def _clear(segment: _Segment) -> None:
    """Forget all notes. Cut short, it leaves the later ones, which need no earlier one."""
    segment.map[: segment.size] = bytes(segment.size)
    segment.size = 0
    if len(segment.map) > SEGMENT_BYTES:
        segment.map.resize(SEGMENT_BYTES)


def _append(segment: _Segment, *notes: list[object]) -> None:
    if segment.file == CLOSED:
        raise OSError(errno.EBADF, "the journal is closed")
    lines = b"".join(map(_line, notes))
    end = segment.size + len(lines)
    if end > len(segment.map):
        room = max(end, 2 * len(segment.map))
        os.posix_fallocate(segment.file, 0, room)
        segment.map.resize(room)
    segment.map[segment.size : end] = lines
    segment.size = end


def _line(note: list[object]) -> bytes:
    text = ENCODER.encode(note).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _lines(path: Path) -> Iterable[list[Any]]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    for line in content.split(b"\n"):
        checksum, _space, text = line.partition(b" ")
        if checksum == b"%08x" % zlib.crc32(text):
            yield json.loads(text)
