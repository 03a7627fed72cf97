"""A session's thread: mails from the inbox to the desk, one after the other."""

import threading
import time
from collections.abc import Callable
from typing import Final

from consumer.amqp.inbox import Inbox
from consumer.core.delivery import Delivery
from consumer.core.envelope import Composed
from consumer.core.mail import Mail
from consumer.desk import Desk
from consumer.smtp.failover import Failover
from consumer.smtp.relays import Relays

WAIT_SECONDS: Final = 5.0

LONGEST_HOLD_SECONDS: Final = 8 * 60.0
"""Of a mail whose transaction has not begun. That may take 20 minutes: before the dot five, as many
at another relay, and the longest `data_timeout`. RabbitMQ's consumer timeout is 30.
"""

LONGEST_WAIT_SECONDS: Final = 300.0
"""Of a mail taken ahead, before it was: it has to wait for another's transaction still."""


class SessionThread:
    """Has each mail handled in SMTP session `number`, until `stop`.

    A mail is taken once a relay has a turn for it: who waits for one has none that others must wait
    behind. While its content is sent the next is taken and made ready, so that the relay may be
    told of it in the same write. `release` lets go of a mail that is ours no longer.
    """

    def __init__(
        self,
        number: int,
        *,
        inbox: Inbox,
        desk: Desk,
        release: Callable[[Mail], None],
        is_current: Callable[[Delivery], bool],
        relays: Relays,
        stop: threading.Event,
    ) -> None:
        self._number = number
        self._inbox = inbox
        self._desk = desk
        self._release = release
        self._is_current = is_current
        self._relays = relays
        self._stop = stop
        self._next: Mail | None = None
        self._thread = threading.Thread(target=self._run, name=f"smtp-{number}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the end; False: it did not come in time."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        transactor = self._relays.transactor(self._stop)
        # A mail in hand must not wait here: nobody else would look after it.
        while self._next is not None or self._relays.wait_until_closed(self._stop):
            if self._next is None and not self._inbox.wait(self._number, WAIT_SECONDS):
                transactor.close_if_idle()
                continue
            if self._stop.is_set():
                break
            if not self._has_served(transactor):
                transactor.let_go()
        transactor.close()

    def _has_served(self, transactor: Failover) -> bool:
        """Have the next mail handled; False: there is none for us, or not now."""
        if not self._relays.is_open:
            with transactor.turn() as has_turn:
                mail = self._take() if has_turn else None
                if mail is not None:
                    self._desk.handle(self._number, mail, transactor, self._ahead)
                    return True
        self._put_back()
        return False

    def _take(self) -> Mail | None:
        ahead, self._next = self._next, None
        mail = ahead or self._inbox.take(self._number)
        if mail is not None and not self._is_current(mail.delivery):
            self._release(mail)
            return None
        if ahead is not None and _was_held_too_long(ahead):
            # Who returns what the inbox holds for too long did not see it.
            self._desk.return_to_lane(ahead)
            return None
        return mail

    def _put_back(self) -> None:
        mail, self._next = self._next, None
        if mail is not None:
            self._inbox.put_back(mail)

    def _ahead(self) -> Composed | None:
        """Return what the relay is to get of the mail after this one, if one waits already."""
        if self._next is None and not self._stop.is_set():
            since_seconds = time.monotonic() - LONGEST_WAIT_SECONDS
            mail = self._inbox.take_ahead(self._number, since_seconds)
            if mail is not None:
                self._next = self._desk.prepare(self._number, mail)
        return None if self._next is None else self._next.composed


def _was_held_too_long(mail: Mail) -> bool:
    return time.monotonic() - mail.delivery.received_seconds > LONGEST_HOLD_SECONDS
