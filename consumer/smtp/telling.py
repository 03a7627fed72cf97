"""Tells a relay the envelope of a mail: in one write where it allows, else command by command."""

import smtplib
from typing import Final

from consumer.core.answer import Outcomes
from consumer.core.outcome import Refused, Stage, TransactionOutcome
from consumer.core.relay_url import RelayURL
from consumer.smtp.commands import DATA, EnvelopeCommands, Extensions
from consumer.smtp.content import END_OF_DATA
from consumer.smtp.conversation import Conversation
from consumer.smtp.outcome_of import LOWEST_REFUSAL, SERVICE_CLOSING, is_out_of_step, refusal_of
from consumer.smtp.reply import reply_of

RSET_DONE: Final = 250


UNHEARD: Final = frozenset({500, 502, 503})
"""What a relay says to MAIL that read only the end of what came with a dot: a piece of a command,
or one whose turn it is not."""


class NotHeard(Exception):
    """The relay did not take what it was told ahead for the envelope that it was."""


class OutOfStep(Exception):
    """The relay objects to pipelining: do it again, one by one, on a fresh session."""


class Telling(Conversation):
    """A session past its login, up to the content of a mail. `stage` is where it stands."""

    def __init__(self, url: RelayURL) -> None:
        super().__init__(url)
        self.extensions = Extensions()

    def tell(self, commands: EnvelopeCommands, outcomes: Outcomes, *, is_told: bool) -> bool:
        """Tell the envelope, unless it `is_told`, and hear the replies; False: to no avail.

        Then the session can take the next mail, or is closed. Raises OSError, OutOfStep, or of one
        that `is_told` NotHeard.
        """
        if is_told or self.extensions.pipelining:
            awaits_content = self._tell_in_one_write(commands, outcomes, is_told=is_told)
        else:
            awaits_content = self._tell_one_by_one(commands, outcomes)
        if outcomes.are_complete:
            self._abandon(awaits_content=awaits_content)
            return False
        return True

    def _tell_in_one_write(
        self, commands: EnvelopeCommands, outcomes: Outcomes, *, is_told: bool
    ) -> bool:
        """Tell the envelope; return whether the relay awaits the content.

        All replies are read, in the order of their commands (RFC 2920 §3.1). The first refusal
        counts; a 503 after it is its consequence.
        """
        if not is_told:
            self.send(commands.group)
        if refused := self._read(Stage.MAIL):
            if is_told and isinstance(refused, Refused) and refused.reply.code in UNHEARD:
                raise NotHeard
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
