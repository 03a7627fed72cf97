"""A folder that stands in for the relay, for development: each mail becomes an .eml file."""

import errno
import hashlib
import os
import re
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final
from urllib.parse import quote

from consumer.core.answer import Answer, answer_for_all
from consumer.core.disk_errors import CANNOT_SYNC
from consumer.core.envelope import Envelope
from consumer.core.folder_url import FolderURL
from consumer.core.outcome import (
    Accepted,
    InDoubt,
    Refused,
    Reply,
    Stage,
    TransactionOutcome,
    Unreachable,
)
from consumer.smtp.commands import Extensions, envelope_commands
from consumer.smtp.probe import Report, Step
from consumer.smtp.session import Ahead, BeforeDot, GivenBack

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

CURE: Final = "create it for this user, make room there, or name another in HOPMAIL_SMTP_URL"

LONGEST_ESCAPED: Final = 160
"""With moment, hash and ending a file's name must stay below 255 octets."""


class Folder:
    """The folder, shared by all threads; made with the first mail."""

    def __init__(self, url: FolderURL) -> None:
        self.url = url

    def transactor(self) -> "FolderTransactor":
        """Return a transactor; each thread needs its own."""
        return FolderTransactor(Path(self.url.path))

    def probe(self) -> Report:
        """Make the folder where it is missing, and a file in it that vanishes."""
        folder = Path(self.url.path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=folder) as file:
                file.write(bytes(4096))
        except OSError as error:
            trouble = _trouble(error)
            return Report((Step("folder", ok=False, detail=trouble.detail, cure=CURE),), trouble)
        return Report((Step("folder", ok=True, detail=f"{folder} can be written to"),), None)


class FolderTransactor:
    """Writes mails into the folder, one after the other.

    The file is complete, and on the disk, before it gets its name; that is its final dot.
    """

    is_open = is_told = is_spent = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.transaction_seconds: float | None = None

    def transact(
        self,
        envelope: Envelope,
        content: bytes,
        before_dot: BeforeDot,
        ahead: Ahead | None = None,  # noqa: ARG002 - there is no round trip to save
    ) -> Answer:
        """Write one mail and return what became of each recipient. Raises GivenBack."""
        began_seconds = time.monotonic()
        outcome = self._outcome(envelope, content, before_dot)
        reached = not isinstance(outcome, Unreachable)
        self.transaction_seconds = time.monotonic() - began_seconds if reached else None
        return answer_for_all(envelope.recipients, outcome)

    def close(self) -> None:
        """Do nothing: no file stays open."""

    drop = close

    def _outcome(
        self, envelope: Envelope, content: bytes, before_dot: BeforeDot
    ) -> TransactionOutcome:
        commands = envelope_commands(envelope, content, Extensions(smtputf8=True))
        if isinstance(commands, Refused):
            return commands
        try:
            file, unfinished = self._begun(envelope.message_id)
        except OSError as error:
            return _unwritten(error)
        try:
            try:
                _write(unfinished, _head(envelope) + content)
            except OSError as error:
                return _unwritten(error)
            if not before_dot(envelope.recipients):
                raise GivenBack
            return _named(unfinished, file)
        finally:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)

    def _begun(self, message_id: str) -> tuple[Path, Path]:
        """Return a name that is ours alone, and the file, made, that is to get it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        while True:
            file = self._folder / file_name(message_id, datetime.now(UTC))
            unfinished = file.with_name(f".{file.name}.unfinished")
            try:
                unfinished.touch(exist_ok=False)
            except FileExistsError:
                # Another process has such a mail in this microsecond: an id is a login's own.
                continue
            return file, unfinished


def file_name(message_id: str, moment: datetime) -> str:
    """Return a name that sorts by time and shows the message id, whatever that holds."""
    escaped = quote(message_id, safe="") or "mail"
    if len(escaped) > LONGEST_ESCAPED:
        mark = hashlib.sha256(message_id.encode()).hexdigest()[:16]
        escaped = f"{re.sub('%.?$', '', escaped[:LONGEST_ESCAPED])}~{mark}"
    return f"{moment:%Y%m%dT%H%M%S.%fZ}-{escaped}.eml"


def _write(path: Path, octets: bytes) -> None:
    with path.open("wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())


def _head(envelope: Envelope) -> bytes:
    """Return the envelope as headers: only so are blind copies to be seen."""
    recipients = ",\r\n ".join(envelope.recipients)
    return f"X-Envelope-From: {envelope.sender}\r\nX-Envelope-To: {recipients}\r\n".encode()


def _named(unfinished: Path, file: Path) -> TransactionOutcome:
    """Give the file its name: from then on the mail is delivered."""
    try:
        unfinished.rename(file)
    except OSError as error:
        return _refused(Stage.END_OF_DATA) if _is_absent(file) else InDoubt(_words(error))
    try:
        _sync_folder(file.parent)
    except OSError as error:
        if error.errno not in CANNOT_SYNC:
            return InDoubt(_words(error))
    return Accepted(Reply(250, "2.0.0", f"written to {file.name}"))


def _sync_folder(folder: Path) -> None:
    """Have the name, too, survive a loss of power."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _is_absent(file: Path) -> bool:
    try:
        file.lstat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def _unwritten(error: OSError) -> TransactionOutcome:
    return _refused(Stage.DATA) if error.errno in FULL else _trouble(error)


def _refused(stage: Stage) -> Refused:
    """Refuse as a relay with a full disk does (RFC 5321 §4.2.3): it is tried again."""
    return Refused(stage, Reply(452, "4.3.1", "insufficient storage in the folder"))


def _trouble(error: OSError) -> Unreachable:
    return Unreachable(Stage.CONNECT, f"the folder cannot be written to ({_words(error)})")


def _words(error: OSError) -> str:
    return error.strerror or type(error).__name__
