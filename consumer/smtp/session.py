"""Mail transactions over a kept session, their commands in one write where the relay allows."""

import contextlib
import math
import smtplib
import time
from collections.abc import Callable
from typing import Final

from consumer.core.answer import Answer, Outcomes, answer_for_all
from consumer.core.envelope import Envelope
from consumer.core.outcome import InDoubt, Refused, Reply, Stage, TransactionOutcome
from consumer.core.relay_url import RelayURL
from consumer.smtp.commands import DATA, EnvelopeCommands, Extensions, envelope_commands
from consumer.smtp.content import END_OF_DATA, BareLineEnding, wire_form
from consumer.smtp.conversation import LARGEST_WRITE_BYTES, Conversation
from consumer.smtp.outcome_of import (
    LOWEST_REFUSAL,
    SERVICE_CLOSING,
    Garbled,
    is_out_of_step,
    outcome_of_end_of_data,
    outcome_of_failure,
    refusal_of,
)
from consumer.smtp.reply import reply_of

LAST_WORDS_SECONDS: Final = 2.0
RSET_DONE: Final = 250

BeforeDot = Callable[[tuple[str, ...]], bool]
"""Asked just before the write that holds the final dot, with the recipients whose fate it decides;
False gives the transaction up."""


class GivenBack(Exception):
    """`before_dot` said no: the mail is surely not sent, and the session is closed."""


class StaleSession(Exception):
    """The relay had closed the kept session before this mail: do it again on a fresh one."""


class OutOfStep(Exception):
    """The relay objects to pipelining: do it again, one by one, on a fresh session."""


class Session(Conversation):
    """A session past its login. `stage` is where its transaction stands."""

    def __init__(self, url: RelayURL) -> None:
        super().__init__(url)
        self.extensions = Extensions()
        self.transactions = 0
        self._is_reused = False

    def transact(
        self, envelope: Envelope, content: bytes, before_dot: BeforeDot | None = None
    ) -> Answer:
        """Hand one mail to the relay and return what became of each recipient.

        `content` is RFC 5322 with CRLF line ends, not dot-stuffed. A session that cannot go on
        is closed. Raises Lacking, GivenBack, StaleSession or OutOfStep: then nothing was accepted.
        """
        commands = envelope_commands(envelope, content, self.extensions)
        if isinstance(commands, Refused):
            return answer_for_all(envelope.recipients, commands)
        try:
            wire = wire_form(content)
        except BareLineEnding:
            refused = Refused(Stage.DATA, Reply(554, "5.6.0", "a bare CR or LF: not sent"))
            return answer_for_all(envelope.recipients, refused)
        outcomes = Outcomes(envelope.recipients)
        self.stage = Stage.MAIL
        self._is_reused, self.transactions = self.transactions > 0, self.transactions + 1
        try:
            self._converse(commands, wire, before_dot, outcomes)
        except OSError as error:
            self.close()
            if self._was_stale(error, outcomes):
                raise StaleSession from error
            outcomes.give_rest(outcome_of_failure(self.stage, error))
        except BaseException:
            self.close()
            raise
        return outcomes.answer()

    def leave(self) -> None:
        """Say QUIT, wait shortly for its reply, and close, whatever comes."""
        self.deadline = time.monotonic() + LAST_WORDS_SECONDS
        with contextlib.suppress(OSError):
            self.send(b"QUIT\r\n")
            self.getreply()
        self.close()

    def _converse(
        self,
        commands: EnvelopeCommands,
        wire: bytes,
        before_dot: BeforeDot | None,
        outcomes: Outcomes,
    ) -> None:
        tell = self._tell_in_one_write if self.extensions.pipelining else self._tell_one_by_one
        awaits_content = tell(commands, outcomes)
        if outcomes.are_complete:
            self._abandon(awaits_content=awaits_content)
        else:
            self._send_content(wire, before_dot, outcomes)
            outcomes.give_rest(self._read_end_of_data())

    def _tell_in_one_write(self, commands: EnvelopeCommands, outcomes: Outcomes) -> bool:
        """Tell the envelope; return whether the relay awaits the content.

        All replies are read, in the order of their commands (RFC 2920 §3.1). The first refusal
        counts; a 503 after it is its consequence.
        """
        self.send(commands.group)
        if refused := self._read(Stage.MAIL):
            outcomes.give_rest(refused)
        for index in range(len(commands.rcpts)):
            if refused := self._read(Stage.RCPT):
                outcomes.give(index, refused)
        if refused := self._read(Stage.DATA):
            outcomes.give_rest(refused)
        return refused is None

    def _tell_one_by_one(self, commands: EnvelopeCommands, outcomes: Outcomes) -> bool:
        if refused := self._ask(Stage.MAIL, commands.mail):
            outcomes.give_rest(refused)
            return False
        for index, rcpt in enumerate(commands.rcpts):
            if refused := self._ask(Stage.RCPT, rcpt):
                outcomes.give(index, refused)
        if outcomes.are_complete:
            return False
        if refused := self._ask(Stage.DATA, DATA):
            outcomes.give_rest(refused)
        return refused is None

    def _ask(self, stage: Stage, command: bytes) -> TransactionOutcome | None:
        self.stage = stage
        self.send(command)
        return self._read(stage)

    def _read(self, stage: Stage) -> TransactionOutcome | None:
        """Return what the reply to a command of the envelope refuses; None for nothing."""
        self.stage = stage
        code, text = self.getreply()
        if stage is not Stage.DATA and 200 <= code < 300:  # noqa: PLR2004 - the common case: 2yz
            return None
        if code == SERVICE_CLOSING:
            raise smtplib.SMTPResponseException(code, text)
        reply = reply_of(code, text)
        if self.extensions.pipelining and code >= LOWEST_REFUSAL and is_out_of_step(reply):
            raise OutOfStep
        return refusal_of(stage, reply)

    def _abandon(self, *, awaits_content: bool) -> None:
        """Bring the session back to where it can take the next mail.

        A relay that took DATA though it took no recipient gets a lone dot: nobody can get that.
        """
        if awaits_content:
            self.send(END_OF_DATA)
            self.reply_within(self.url.data_timeout_seconds)
        elif self.rset()[0] != RSET_DONE:
            self.close()

    def _send_content(self, wire: bytes, before_dot: BeforeDot | None, outcomes: Outcomes) -> None:
        """Write the content; `stage` is END_OF_DATA once the kernel has a byte of the dot."""
        start = max(0, len(wire) - LARGEST_WRITE_BYTES)
        try:
            if start:
                self.send(memoryview(wire)[:start])
            if before_dot is not None and not before_dot(outcomes.owed):
                raise GivenBack
            try:
                self.send(memoryview(wire)[start:])
            finally:
                if self.handed_over > len(wire) - start - len(END_OF_DATA):
                    self.stage = Stage.END_OF_DATA
        except ConnectionError:
            self._hear_last_words()
            raise

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
        code, text = self.reply_within(self.url.data_timeout_seconds)
        outcome = outcome_of_end_of_data(reply_of(code, text))
        if code == SERVICE_CLOSING or isinstance(outcome, InDoubt):
            self.close()
        return outcome

    def _was_stale(self, error: OSError, outcomes: Outcomes) -> bool:
        return (
            self._is_reused
            and self.stage is Stage.MAIL
            and not outcomes.are_complete
            and not isinstance(error, TimeoutError | Garbled)
        )
