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
from dataclasses import field
from pathlib import Path
from typing import Any, Final

from consumer.core.paused import Paused, paused_json, read_paused
from consumer.core.record import record
from consumer.ops.logs import LEVELS, Level
from publisher_lib.routing import Lane

log = logging.getLogger(__name__)

NAME: Final = "control.json"
LOG_LEVEL: Final = "log_level"
PAUSED: Final = "paused"
LARGEST_BYTES: Final = 65_536
READABLE_BY_ALL: Final = 0o644
"""Whoever of this host may ask, the processes must be able to read it."""


class Damaged(ValueError):
    """The file says nothing that can be understood."""


@record
class Asked:
    """What is asked.

    `log_level` None: the settings' holds. `paused` are the lanes of which no mail is to be taken.
    """

    log_level: Level | None = None
    paused: Mapping[Lane, Paused] = field(default_factory=dict)


class Control:
    """The file. A process keeps one of these and looks again and again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / NAME
        self._seen: tuple[int, ...] | None = None
        self._unreadable: tuple[int, ...] | None = None

    def read(self) -> Asked:
        """Return what is asked. Raises Damaged, or OSError."""
        found = self._members()
        level = found.get(LOG_LEVEL)
        if level is not None and level not in LEVELS:
            raise Damaged(f"{LOG_LEVEL} is none of {', '.join(LEVELS)}")
        return Asked(log_level=level, paused=_paused(found.get(PAUSED, {})))

    def read_leniently(self) -> Asked:
        """Return what is asked; of a damaged file nothing. Raises OSError."""
        try:
            return self.read()
        except Damaged:
            return Asked()

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

    def pause(self, lanes: Mapping[Lane, Paused]) -> None:
        """Have no mail of these lanes taken; one that is paused already stays so as it is."""
        with self._alone():
            members = self._kept()
            self._write(members | {PAUSED: _json(lanes) | _lanes_in(members)})

    def resume(self, lanes: Iterable[Lane]) -> None:
        """Have mail of these lanes taken again. Raises OSError."""
        with self._alone():
            members = self._kept()
            left = {
                lane: told for lane, told in _lanes_in(members).items() if lane not in set(lanes)
            }
            members.pop(PAUSED, None)
            self._write(members | ({PAUSED: left} if left else {}))

    def _ignored(self, detail: str | None) -> None:
        log.warning("control file ignored", extra={"path": str(self._path), "detail": detail})

    def _members(self) -> dict[str, Any]:
        try:
            with self._path.open("rb") as file:
                text = file.read(LARGEST_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        try:
            found = json.loads(text) if len(text) <= LARGEST_BYTES else None
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise Damaged("it is no JSON object")
        return found

    def _kept(self) -> dict[str, Any]:
        """Return the members that stay whoever asks: those of ours that can be understood."""
        try:
            members = self._members()
        except Damaged:
            return {}
        if members.get(LOG_LEVEL) not in LEVELS:
            members.pop(LOG_LEVEL, None)
        if not _lanes_in(members):
            members.pop(PAUSED, None)
        return members

    def _write(self, members: dict[str, Any]) -> None:
        if not members:
            self._path.unlink(missing_ok=True)
            return
        beside = self._path.with_suffix(".tmp")
        try:
            with beside.open("w") as file:
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
        finally:
            os.close(descriptor)


def _paused(found: Any) -> dict[Lane, Paused]:
    try:
        return {Lane(lane): read_paused(told) for lane, told in found.items()}
    except (AttributeError, ValueError) as error:
        raise Damaged(f"{PAUSED} is no object of lanes, each with by, reason and since") from error


def _json(lanes: Mapping[Lane, Paused]) -> dict[str, Any]:
    return {str(lane): paused_json(paused) for lane, paused in lanes.items()}


def _lanes_in(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is paused as it is written; nothing where that cannot be understood."""
    try:
        return _json(_paused(members.get(PAUSED, {})))
    except Damaged:
        return {}
