"""One mail from the inbox to its settlement: what a session's thread does with it."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from consumer.alone import Alone
from consumer.amqp.consume import Consumer
from consumer.amqp.inbox import Inbox
from consumer.amqp.settle import Settlement, Settler
from consumer.core.answer import Answer
from consumer.core.correlation import correlation
from consumer.core.disposition import Pause
from consumer.core.endings import settled, unsettled
from consumer.core.envelope import Composed
from consumer.core.handled import Followup, Handled
from consumer.core.mail import Mail
from consumer.core.outcome import InDoubt, Stage, Unreachable
from consumer.core.transaction import Transaction
from consumer.intake import READING_SLOT, Intake
from consumer.ledger.ledger import Ledger
from consumer.ledger.none import NoLedger
from consumer.ledger.opening import Hands
from consumer.ops.concerning import Concerning
from consumer.smtp.failover import Failover
from consumer.smtp.session import Ahead, GivenBack
from consumer.worker import Worker
from publisher_lib.routing import Lane

log = logging.getLogger(__name__)

FIRST_SESSION_SLOT: Final = READING_SLOT + 1

LARGEST_PREPARED_BYTES: Final = 256 * 1024
"""Of a larger one a round trip is no part worth telling, and two at once fill the memory."""


class Desk:
    """Handles mails: the worker finds out and decides, here it is acted upon. Thread-safe.

    `record` is told of each that was handled, `copied` of each other one that a copy took the place
    of. After `last_dot_seconds`, on the monotonic clock, no final dot is sent any more.
    """

    def __init__(
        self,
        *,
        worker: Worker,
        ledger: Ledger | NoLedger,
        hands: Hands,
        inbox: Inbox,
        intake: Intake,
        consumer: Consumer,
        settler: Settler,
        record: Callable[[Handled], None],
        copied: Callable[[Lane, Followup], None],
    ) -> None:
        self._worker = worker
        self._ledger = ledger
        self._hands = hands
        self._inbox = inbox
        self._intake = intake
        self._consumer = consumer
        self._settler = settler
        self._record = record
        self._copied = copied
        self._alone = Alone()
        self._paused_for_login: set[tuple[int, int]] = set()
        self.last_dot_seconds = math.inf

    def handle(self, session: int, mail: Mail, transactor: Failover, ahead: Ahead) -> None:
        """Bring a mail to its end, in session number `session`; `ahead` gives the one after it."""
        with self._alone.alone() if mail.must_be_alone else self._alone.beside_others():
            self._handle(FIRST_SESSION_SLOT + session, mail, transactor, ahead)

    def prepare(self, session: int, mail: Mail) -> Mail:
        """Make ready what the relay is to get of the mail that this session handles next."""
        is_large = len(mail.delivery.body) > LARGEST_PREPARED_BYTES
        if mail.must_be_alone or is_large or not self._consumer.is_current(mail.delivery):
            return mail
        self._hands.take(FIRST_SESSION_SLOT + session, mail.fingerprint)
        mail = self._worker.prepare(mail)
        self._hands.put_down(FIRST_SESSION_SLOT + session)
        return mail

    def return_to_lane(self, mail: Mail) -> None:
        """Give a mail back to its lane, as a copy: once it is there, the claim on it may go."""
        self._replace(mail, self._worker.back_to_lane(mail))

    def set_aside(self, mail: Mail) -> None:
        """Have a mail that another process works on come again later, as a copy: others wait."""
        waited_seconds = time.monotonic() - mail.delivery.received_seconds
        log.warning(
            "waits for another process",
            extra=correlation(mail.delivery.properties)
            | {"waited_seconds": round(waited_seconds, 1)},
        )
        self._replace(mail, self._worker.aside(mail))

    def _replace(self, mail: Mail, copy: Followup) -> None:
        def let_go(kept: Callable[[], None]) -> None:
            self._intake.release(mail)
            kept()

        self._settler.settle(
            Settlement(
                mail.delivery,
                (copy,),
                commit=let_go,
                settled=lambda: self._copied(mail.delivery.lane, copy),
                abandoned=lambda: self._intake.release(mail),
            )
        )

    def _handle(self, slot: int, mail: Mail, transactor: Failover, ahead: Ahead) -> None:
        def may_send(recipients: tuple[str, ...]) -> bool:
            return (
                time.monotonic() < self.last_dot_seconds
                and self._consumer.is_current(mail.delivery)
                and (mail.claim is None or self._ledger.sending(mail.claim, recipients))
            )

        transactions: list[Transaction] = []

        def transact(composed: Composed) -> Answer | None:
            def before_dot(recipients: tuple[str, ...]) -> bool:
                return may_send(composed.originals(recipients))

            self._hands.put_down(slot)
            try:
                return transactor.transact(
                    composed.envelope, composed.content, before_dot, ahead, transactions.append
                )
            except GivenBack:
                return None

        key = mail.delivery.generation, mail.delivery.tag
        self._hands.take(slot, mail.fingerprint)
        is_login_proven = key in self._paused_for_login
        with Concerning(mail.delivery.properties):
            handled = self._worker.handle(
                mail, transact, transactions, is_login_proven=is_login_proven
            )
        self._hands.put_down(slot)
        self._paused_for_login.discard(key)
        if handled is None:
            self._give_back(mail)
            return
        troubles = [
            verdict.outcome
            for verdict in handled.verdicts
            if isinstance(verdict.disposition, Pause) and isinstance(verdict.outcome, Unreachable)
        ]
        if troubles:
            self._pause(mail, handled, troubles[0], transactor)
        else:
            self._settle(mail, handled)

    def _give_back(self, mail: Mail) -> None:
        """Let go of a mail that was surely not sent; while it is ours, it asks for a claim anew."""
        self._intake.release(mail)
        if self._consumer.is_current(mail.delivery):
            self._intake.put(mail.delivery)

    def _settle(self, mail: Mail, handled: Handled) -> None:
        claim = mail.claim

        def commit(kept: Callable[[], None]) -> None:
            if claim is None or not claim.held:
                kept()
            else:
                self._ledger.end(claim, settled(claim, handled.verdicts), kept)

        def abandon() -> None:
            if claim is not None and claim.held:
                self._ledger.end(claim, unsettled(claim, handled.verdicts))

        def tell() -> None:
            self._record(handled)

        if claim is not None and claim.held:
            self._ledger.answered(claim, unsettled(claim, handled.verdicts))
        if any(isinstance(verdict.outcome, InDoubt) for verdict in handled.verdicts):
            # Rather told twice, where the process ends before the ack, than never.
            tell()
            tell = _nothing
        self._settler.settle(
            Settlement(
                mail.delivery,
                handled.followups,
                commit=commit,
                settled=tell,
                abandoned=abandon,
            )
        )

    def _pause(
        self, mail: Mail, handled: Handled, trouble: Unreachable, transactor: Failover
    ) -> None:
        """Keep the mail until a relay is back: its trouble says nothing of the message."""
        # The others' verdicts are found, acted upon and told anew when its turn comes again.
        paused = tuple(each for each in handled.verdicts if isinstance(each.disposition, Pause))
        self._record(replace(handled, verdicts=paused, followups=()))
        if trouble.stage is Stage.AUTH:
            # It comes again only once a probe has logged in: then it is this mail that is refused.
            self._paused_for_login.add((mail.delivery.generation, mail.delivery.tag))
        transactor.open(trouble)
        self._inbox.put_back(mail)


def _nothing() -> None:
    """Stand for what was done before."""
