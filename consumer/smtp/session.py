"""Mail transactions over a kept session, their commands in one write where the relay allows."""

import contextlib
import logging
import math
import smtplib
import time
from collections.abc import Callable
from typing import Final

from consumer.core.answer import Answer, Outcomes, answer_for_all
from consumer.core.envelope import Composed, Envelope
from consumer.core.outcome import InDoubt, Refused, Reply, Stage, TransactionOutcome
from consumer.core.relay_url import RelayURL
from consumer.smtp.commands import EnvelopeCommands, Lacking, envelope_commands
from consumer.smtp.content import END_OF_DATA, BareLineEnding, wire_form
from consumer.smtp.conversation import LARGEST_WRITE_BYTES
from consumer.smtp.outcome_of import (
    LOWEST_REFUSAL,
    SERVICE_CLOSING,
    Garbled,
    is_out_of_step,
    outcome_of_end_of_data,
    outcome_of_failure,
)
from consumer.smtp.reply import reply_of
from consumer.smtp.telling import NotHeard, OutOfStep, Telling

log = logging.getLogger(__name__)

LAST_WORDS_SECONDS: Final = 2.0
PROMPT_SECONDS: Final = 1.0
"""A relay that thinks longer about a dot would keep the mail told ahead from other sessions."""

LONGEST_AHEAD_BYTES: Final = LARGEST_WRITE_BYTES // 2

BeforeDot = Callable[[tuple[str, ...]], bool]
"""Asked just before the write that holds the final dot, with the recipients whose fate it decides;
False gives the transaction up."""


Ahead = Callable[[], Composed | None]
"""Asked for the mail that comes next, once this one's content is due: its envelope may be told in
the same write. Asked again for the same mail, it gives the same."""


class GivenBack(Exception):
    """`before_dot` said no: the mail is surely not sent, and the session is closed."""


class StaleSession(Exception):
    """The relay had closed the kept session before this mail: do it again on a fresh one."""


class Session(Telling):
    """A session past its login. `stage` is where its transaction stands.

    The envelope of the next mail may go in one write with the final dot (RFC 2920 §3.1 allows the
    content to begin a command group), so that each mail costs one round trip. Told ahead, a mail is
    surely not sent: its content has not left, and without a dot the relay delivers nothing.
    """

    def __init__(self, url: RelayURL) -> None:
        super().__init__(url)
        self.transactions = 0
        self.has_failed_ahead = False
        """Whether it ended, or fell out of step, with an envelope told ahead."""
        self._is_reused = False
        self._is_told = False
        self._told: EnvelopeCommands | None = None
        self._dot_seconds = math.inf

    @property
    def is_told(self) -> bool:
        """Whether the relay knows the envelope of a mail that has not come yet."""
        return self.is_open and self._told is not None

    def transact(
        self,
        envelope: Envelope,
        content: bytes,
        before_dot: BeforeDot | None = None,
        ahead: Ahead | None = None,
    ) -> Answer:
        """Hand one mail to the relay and return what became of each recipient.

        `content` is RFC 5322 with CRLF line ends, not dot-stuffed. A session that cannot go on
        is closed. Raises Lacking, GivenBack, StaleSession or OutOfStep: then nothing was accepted.
        """
        commands = envelope_commands(envelope, content, self.extensions)
        if isinstance(commands, Refused):
            return self._unasked(envelope, commands)
        try:
            wire = wire_form(content)
        except BareLineEnding:
            refused = Refused(Stage.DATA, Reply(554, "5.6.0", "a bare CR or LF: not sent"))
            return self._unasked(envelope, refused)
        told, self._told = self._told, None
        if told not in {None, commands}:
            self.close()
            raise StaleSession
        outcomes = Outcomes(envelope.recipients)
        self.stage, self._is_told = Stage.MAIL, told is not None
        self._is_reused, self.transactions = self.transactions > 0, self.transactions + 1
        self.is_traced = log.isEnabledFor(logging.DEBUG)
        try:
            self._converse(commands, wire, before_dot, ahead, outcomes)
        except OSError as error:
            self.has_failed_ahead = self._is_told or self.is_told
            self.close()
            if self._was_stale(error, outcomes):
                raise StaleSession from error
            outcomes.give_rest(outcome_of_failure(self.stage, error))
        except NotHeard:
            self.has_failed_ahead = True
            self.close()
            raise StaleSession from None
        except BaseException:
            self.close()
            raise
        return outcomes.answer()

    def leave(self) -> None:
        """Say QUIT, wait shortly for its reply, and close, whatever comes.

        Where the relay awaits a content that does not come, nothing can be said.
        """
        if self.is_told:
            self.close()
            return
        self.deadline = time.monotonic() + LAST_WORDS_SECONDS
        with contextlib.suppress(OSError):
            self.putcmd("QUIT")
            self.getreply()
        self.close()

    def _unasked(self, envelope: Envelope, refused: Refused) -> Answer:
        """Answer for a relay that is not asked; it must not await what it was told ahead."""
        if self.is_told:
            self.close()
        return answer_for_all(envelope.recipients, refused)

    def _converse(
        self,
        commands: EnvelopeCommands,
        wire: bytes,
        before_dot: BeforeDot | None,
        ahead: Ahead | None,
        outcomes: Outcomes,
    ) -> None:
        if self.tell(commands, outcomes, is_told=self._is_told):
            self._send_content(wire, before_dot, ahead, outcomes)
            outcomes.give_rest(self._read_end_of_data())

    def _send_content(
        self, wire: bytes, before_dot: BeforeDot | None, ahead: Ahead | None, outcomes: Outcomes
    ) -> None:
        """Write the content; `stage` is END_OF_DATA once the kernel has a byte of the dot."""
        following = self._following(ahead)
        group = b"" if following is None else following.group
        start = max(0, len(wire) + len(group) - LARGEST_WRITE_BYTES)
        try:
            if start:
                self.send(memoryview(wire)[:start])
            if before_dot is not None and not before_dot(outcomes.owed):
                raise GivenBack
            try:
                self.send(b"".join((memoryview(wire)[start:], group)))
            finally:
                if self.handed_over > len(wire) - start - len(END_OF_DATA):
                    self.stage, self._told = Stage.END_OF_DATA, following
            if self.is_traced:
                self.trace("smtp content sent", bytes=len(wire), tells_ahead=bool(group))
        except ConnectionError:
            self._hear_last_words()
            raise

    def _following(self, ahead: Ahead | None) -> EnvelopeCommands | None:
        """Return the commands to tell ahead."""
        may_tell = self.extensions.pipelining and self._dot_seconds < PROMPT_SECONDS
        composed = ahead() if ahead is not None and may_tell else None
        if composed is None:
            return None
        try:
            commands = envelope_commands(composed.envelope, composed.content, self.extensions)
        except Lacking:
            return None
        if isinstance(commands, Refused) or len(commands.group) > LONGEST_AHEAD_BYTES:
            return None
        return commands

    def _hear_last_words(self) -> None:
        """Raise the refusal with which the relay cut the content short, if it gave one."""
        code, text = 0, b""
        self.deadline = time.monotonic() + LAST_WORDS_SECONDS
        with contextlib.suppress(OSError):
            code, text = self.getreply()
        if code >= LOWEST_REFUSAL:
            raise smtplib.SMTPResponseException(code, text)

    def _read_end_of_data(self) -> TransactionOutcome:
        # A deadline that cut this wait short would turn a slow relay into copies (RFC 1047).
        self.deadline = math.inf
        sent_seconds = time.monotonic()
        code, text = self.reply_within(self.url.data_timeout_seconds)
        self._dot_seconds = time.monotonic() - sent_seconds
        reply = reply_of(code, text)
        if self.is_told and code >= LOWEST_REFUSAL and is_out_of_step(reply):
            self.has_failed_ahead = True
            raise OutOfStep
        outcome = outcome_of_end_of_data(reply)
        if code == SERVICE_CLOSING or isinstance(outcome, InDoubt):
            self.close()
        return outcome

    def _was_stale(self, error: OSError, outcomes: Outcomes) -> bool:
        return (
            self._is_reused
            and self.stage is Stage.MAIL
            and not outcomes.are_complete
            # What was told ahead the relay may have dropped.
            and (self._is_told or not isinstance(error, TimeoutError))
            and not isinstance(error, Garbled)
        )
