"""What an operator asks of all processes of a host while they run: a file that each looks at.

`control.json` in the state folder holds a JSON object, a member for each thing asked; without the
file, or the member, nothing is. Members that are not known are another version's, and stay.
"""

import fcntl
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from consumer.core.disk_errors import CANNOT_SYNC
from consumer.core.paused import Paused
from consumer.ops.asked import (
    LARGEST_BYTES,
    Asked,
    Damaged,
    paused_in,
    read_asked,
    read_members,
    understood,
    with_paused,
)
from publisher_lib.routing import Lane

log = logging.getLogger(__name__)

NAME: Final = "control.json"
READABLE_BY_ALL: Final = 0o644
"""Whoever of this host may ask, the processes must be able to read it."""


class Control:
    """The file. A process keeps one of these and looks again and again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / NAME
        self._seen: tuple[int, ...] | None = None
        self._unreadable: tuple[int, ...] | None = None

    def read(self) -> Asked:
        """Return what is asked. Raises Damaged, or OSError."""
        return read_asked(self._members())

    @property
    def damage(self) -> str:
        """Why the file cannot be understood; empty where it can, or is none. Raises OSError."""
        try:
            self.read()
        except Damaged as error:
            return str(error)
        return ""

    def look(self) -> Asked | None:
        """Return what is asked if that may have changed since the last look, else None.

        A file that cannot be read or understood changes nothing, and is logged once. What cannot be
        read is looked at again: it may be for want of a free descriptor.
        """
        state = self._state()
        if state == self._seen:
            return None
        asked = None
        try:
            asked = self.read()
        except Damaged as error:
            self._ignored(str(error))
        except OSError as error:
            if state != self._unreadable:
                self._ignored(error.strerror)
            self._unreadable = state
            return None
        self._seen, self._unreadable = state, None
        return asked

    def ask(self, member: str, value: str | None) -> None:
        """Ask for something, or with None no longer; what else is asked stays. Raises OSError.

        A damaged file is made anew.
        """
        with self._alone():
            members = self._kept()
            members.pop(member, None)
            if value is not None:
                members[member] = value
            self._write(members)

    def pause(self, lanes: Mapping[Lane, Paused]) -> Mapping[Lane, Paused]:
        """Have no mail of these lanes taken; return what was paused before, and stays as it was.

        Raises OSError.
        """
        with self._alone():
            members = self._kept()
            before = paused_in(members)
            self._write(with_paused(members, {**lanes, **before}))
        return before

    def resume(self, lanes: Iterable[Lane]) -> Mapping[Lane, Paused]:
        """Have mail of these lanes taken again; return what was paused before. Raises OSError."""
        with self._alone():
            members = self._kept()
            before = paused_in(members)
            left = {lane: before[lane] for lane in before.keys() - set(lanes)}
            self._write(with_paused(members, left))
        return before

    def _ignored(self, detail: str | None) -> None:
        log.warning("control file ignored", extra={"path": str(self._path), "detail": detail})

    def _members(self) -> dict[str, Any]:
        try:
            with self._path.open("rb") as file:
                text = file.read(LARGEST_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return read_members(text)

    def _kept(self) -> dict[str, Any]:
        """Return the members that stay, whoever asks."""
        try:
            return understood(self._members())
        except Damaged:
            return {}

    def _write(self, members: dict[str, Any]) -> None:
        if not members:
            self._path.unlink(missing_ok=True)
            return
        beside = self._path.with_suffix(".tmp")
        try:
            # Another user may have been killed here; and who asks as root must follow no link.
            beside.unlink(missing_ok=True)
            with beside.open("x") as file:
                file.write(f"{json.dumps(members)}\n")
                file.flush()
                # A pause must outlive the host's power too.
                os.fsync(file.fileno())
            beside.chmod(READABLE_BY_ALL)
            beside.replace(self._path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise

    def _state(self) -> tuple[int, ...]:
        try:
            status = self._path.stat()
        except OSError:
            return ()
        return status.st_ino, status.st_mtime_ns, status.st_size

    @contextmanager
    def _alone(self) -> Iterator[None]:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
            # A name must outlive that too.
            _sync(descriptor)
        finally:
            os.close(descriptor)


def _sync(folder: int) -> None:
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in CANNOT_SYNC:
            raise
