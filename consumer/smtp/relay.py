"""The relay: kept sessions with limits, what was learnt about it, and a probe."""

import logging
import math
import ssl
import threading
import time
from dataclasses import dataclass
from typing import Final

from consumer.core.answer import Answer, answer_for_all
from consumer.core.envelope import Envelope
from consumer.core.relay_url import MESSAGES_PER_SESSION, RelayURL
from consumer.smtp.opening import NotOpened, open_session, tls_context
from consumer.smtp.probe import Report, probe
from consumer.smtp.session import Ahead, BeforeDot, Session, StaleSession
from consumer.smtp.telling import OutOfStep

log = logging.getLogger(__name__)

LONGEST_BEFORE_DOT_SECONDS: Final = 300.0
"""For everything up to the final dot, opening included: replies that each come just in time add
up, to 100 minutes with 100 recipients. With the wait for the dot's reply, at most `data_timeout`,
a transaction ends well before RabbitMQ's consumer timeout of 30 minutes takes the delivery away.
"""


ONE_BY_ONE_SECONDS: Final = 3600.0
"""How long no envelope is told ahead, once a session ended with one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a session is kept, and for how many transactions.

    Relays drop idle clients and some count mails; a session given up in time costs one QUIT.
    """

    age_seconds: float = 600.0
    idle_seconds: float = 20.0
    transactions: int = MESSAGES_PER_SESSION
    unchecked_seconds: float = 1.0
    """Idle for longer, a session is looked at before it is used again."""


class Relay:
    """One relay, shared by all threads."""

    def __init__(self, url: RelayURL, limits: Limits | None = None) -> None:
        self.url = url
        self.limits = limits or Limits(transactions=url.messages_per_session)
        self._lock = threading.Lock()
        self._pipelining = True
        self._ahead_again_seconds = -math.inf
        self._context: ssl.SSLContext | None = None

    def transactor(self) -> "Transactor":
        """Return a transactor; each thread needs its own."""
        return Transactor(self)

    def open(self, deadline: float) -> Session:
        """Open a session that does not wait past `deadline`. Raises NotOpened. Thread-safe."""
        try:
            return open_session(
                self.url, self._tls_context, pipelining=self._pipelining, deadline=deadline
            )
        except NotOpened:
            # The next one reads the CA certificates anew: they may be what was mended.
            self._context = None
            raise

    def probe(self) -> Report:
        """Connect, log in, NOOP and leave, without a mail; report each step."""
        return probe(self.url, self.open)

    def do_without_pipelining(self) -> None:
        """Pipeline no more in sessions opened from now on. Thread-safe."""
        with self._lock:
            if not self._pipelining:
                return
            self._pipelining = False
        log.warning("relay out of step, pipelining off", extra={"relay": str(self.url)})

    @property
    def hears_ahead(self) -> bool:
        """Whether a mail's envelope may be told in one write with the dot of the one before."""
        return time.monotonic() > self._ahead_again_seconds

    def tell_one_by_one(self) -> None:
        """For a while tell no envelope ahead. Thread-safe."""
        if self.hears_ahead:
            self._ahead_again_seconds = time.monotonic() + ONE_BY_ONE_SECONDS
            log.info("envelopes not told ahead for a while", extra={"relay": str(self.url)})

    def _tls_context(self) -> ssl.SSLContext:
        with self._lock:
            if self._context is None:
                self._context = tls_context(self.url)
            return self._context


class Transactor:
    """Transactions one after the other, over a session that is kept while it serves."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._session: Session | None = None
        self.transaction_seconds: float | None = None
        """From MAIL to the end of the last transaction; None where it did not come to MAIL."""
        self._opened_seconds = 0.0
        self._used_seconds = 0.0

    @property
    def is_open(self) -> bool:
        """Whether there is a session, as far as we know."""
        return (session := self._session) is not None and session.is_open

    @property
    def is_told(self) -> bool:
        """Whether the relay knows the envelope of a mail that has not come yet."""
        return self._session is not None and self._session.is_told

    def transact(
        self,
        envelope: Envelope,
        content: bytes,
        before_dot: BeforeDot,
        ahead: Ahead | None = None,
    ) -> Answer:
        """Hand one mail to the relay and return what became of each recipient.

        `content` is RFC 5322 with CRLF line ends. `before_dot` is asked just before the write
        that holds the final dot, with the recipients it is for; where it says no, raises GivenBack.
        Raises Lacking where the relay cannot take such a mail. Surely not sent, both times.
        `ahead` gives the mail that this thread hands over next: its envelope may be told already.
        """
        patience = min(LONGEST_BEFORE_DOT_SECONDS, self._relay.url.data_timeout_seconds)
        deadline = time.monotonic() + patience
        while True:
            self.transaction_seconds = None
            try:
                session = self._ready(deadline)
                began_seconds = time.monotonic()
                answer = session.transact(envelope, content, before_dot, self._told_by(ahead))
            except NotOpened as failure:
                return answer_for_all(envelope.recipients, failure.trouble)
            except StaleSession:
                # The next session is fresh, and a fresh one is never stale.
                continue
            except OutOfStep:
                # Neither is it out of step where nothing is pipelined.
                self._relay.do_without_pipelining()
            else:
                self.transaction_seconds = time.monotonic() - began_seconds
                return answer
            finally:
                self._used_seconds = time.monotonic()
                if self._session is not None and self._session.has_failed_ahead:
                    self._relay.tell_one_by_one()

    @property
    def is_spent(self) -> bool:
        """Whether there is a session that has had nothing to do for long, or has ended."""
        return self._session is not None and not self._serves(self._session)

    def close(self) -> None:
        """Leave the relay, if there is a session; another transaction opens a new one."""
        session, self._session = self._session, None
        if session is not None:
            session.leave()

    def drop(self) -> None:
        """Close the connection without a word, if there is one."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _told_by(self, ahead: Ahead | None) -> Ahead | None:
        """Return `ahead`, where the session takes another mail after this one."""
        has_room = (
            self._session is not None
            and self._session.transactions + 1 < self._relay.limits.transactions
        )
        return ahead if has_room and self._relay.hears_ahead else None

    def _ready(self, deadline: float) -> Session:
        """Return the kept session where it still serves, else a fresh one. Raises NotOpened."""
        if self.is_spent:
            self.close()
        if self._session is None:
            self._session = self._relay.open(deadline)
            self._opened_seconds = time.monotonic()
        self._session.deadline = deadline
        return self._session

    def _serves(self, session: Session) -> bool:
        limits, now = self._relay.limits, time.monotonic()
        idle_seconds = now - self._used_seconds
        return (
            session.is_open
            and now - self._opened_seconds < limits.age_seconds
            and session.transactions < limits.transactions
            and idle_seconds < limits.idle_seconds
            and (idle_seconds < limits.unchecked_seconds or session.is_quiet)
        )
