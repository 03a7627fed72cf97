"""A process that holds claims: its folder, the lock that says it lives, what it has in hands."""

import fcntl
import mmap
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

LOCK: Final = "lock"
HANDS: Final = "hands"
BIRTHS: Final = ".births"
UNBORN: Final = "." + 16 * "[0-9a-f]"
FINGERPRINT_BYTES: Final = 16
EMPTY: Final = bytes(FINGERPRINT_BYTES)


class Owner:
    """Our process, under a name that no other process will ever have.

    Its lock is the kernel's: it goes with the process, however that ends, and needs neither pid
    nor clock. `slots` is how many messages can be in hands at once. Raises OSError.
    """

    def __init__(self, folders: Path, slots: int) -> None:
        self.name = secrets.token_hex(8)
        self.folder = folders / self.name
        folders.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Whoever looks for the dead must not meet it before it is locked.
        unborn = folders / f".{self.name}"
        with _birth(folders), ExitStack() as undo:
            undo.callback(shutil.rmtree, unborn, ignore_errors=True)
            unborn.mkdir(mode=0o700)
            self._lock = _lock(unborn / LOCK)
            undo.callback(os.close, self._lock)
            os.write(self._lock, f"{os.getpid()}\n".encode())
            self._hands = _hands(unborn / HANDS, slots)
            unborn.rename(self.folder)
            undo.pop_all()

    def take(self, slot: int, fingerprint: bytes) -> None:
        """Note that a message is in hands whose handling may end this process."""
        self._hands[slot * FINGERPRINT_BYTES : (slot + 1) * FINGERPRINT_BYTES] = fingerprint

    def put_down(self, slot: int) -> None:
        """Note that the process has survived it."""
        self.take(slot, EMPTY)

    def close(self) -> None:
        """Stop living: whoever comes next may settle what is left."""
        # The map stays open: a session that outlasts the grace time still puts down.
        os.close(self._lock)

    def vanish(self) -> None:
        """Stop living and leave nothing behind: it never held a claim. Raises OSError."""
        try:
            remove(self.folder)
        finally:
            self.close()


@contextmanager
def dead(folder: Path) -> Iterator[bool]:
    """Hold the lock of a process that has ended; False while it lives or is being settled.

    False as well for what is no folder: somebody else's.
    """
    try:
        lock = _lock(folder / LOCK, create=False)
    except (BlockingIOError, FileNotFoundError, NotADirectoryError):
        yield False
        return
    try:
        # Who held it before may have settled and removed it.
        yield folder.exists()
    finally:
        os.close(lock)


def lives(folder: Path) -> bool:
    """Return whether a process lives, or is being settled, without a trace. Raises OSError.

    Who settles the dead and comes at just that moment leaves this one for the next time.
    """
    try:
        file = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def in_hands(folder: Path) -> tuple[bytes, ...]:
    """Return the fingerprints of what a process had in hands when it ended. Raises OSError."""
    try:
        content = (folder / HANDS).read_bytes()
    except FileNotFoundError:
        # Whoever settled it was interrupted amid removing it.
        return ()
    slots = (content[at : at + FINGERPRINT_BYTES] for at in range(0, len(content), 16))
    return tuple(slot for slot in slots if slot != EMPTY)


def remove(folder: Path) -> None:
    """Remove what a settled process left; its lock last, which tells others to keep off."""
    for path in folder.iterdir():
        if path.name != LOCK:
            path.unlink()
    shutil.rmtree(folder)


@contextmanager
def _birth(folders: Path) -> Iterator[None]:
    """Be born beside others; while nobody is, clear away what was killed at it."""
    file = os.open(folders / BIRTHS, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT, 0o600)
    try:
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for unborn in folders.glob(UNBORN):
                shutil.rmtree(unborn, ignore_errors=True)
        # Only whoever clears keeps us waiting.
        fcntl.flock(file, fcntl.LOCK_SH)
        yield
    finally:
        os.close(file)


def _lock(path: Path, *, create: bool = True) -> int:
    file = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise
    return file


def _hands(path: Path, slots: int) -> mmap.mmap:
    with path.open("w+b") as file:
        # Without its blocks on the disk, a write to the map ends the process once that is full.
        os.posix_fallocate(file.fileno(), 0, slots * FINGERPRINT_BYTES)
        return mmap.mmap(file.fileno(), 0)
