"""The daemon: threads, signals and the order in which they start and stop."""

import logging
import math
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Final

from consumer.amqp.consume import Consumer
from consumer.amqp.inbox import Inbox
from consumer.amqp.settle import Settler
from consumer.core.crash import place_of
from consumer.core.exit_code import ExitCode
from consumer.core.mail import Mail
from consumer.desk import Desk
from consumer.intake import Intake
from consumer.ledger.ledger import Ledger
from consumer.ledger.none import NoLedger
from consumer.ledger.opening import Hands
from consumer.session_thread import LONGEST_HOLD_SECONDS, SessionThread
from consumer.smtp.relays import Relays
from publisher_lib.confirms import ConfirmedPublisher
from publisher_lib.routing import Lane

log = logging.getLogger(__name__)

HOUSEKEEPING_SECONDS: Final = 1.0
LONGEST_WAIT_SECONDS: Final = 10.0
"""For another process's claim: one that stands still must not fill this one's prefetch."""

LAST_WORD_SECONDS: Final = 5.0
"""Kept of the grace time for the replies to final dots."""

LEAVE_SECONDS: Final = 3.0
"""Kept of the grace time for the last acks and the goodbyes to the broker."""

STOPS: Final = frozenset({signal.SIGTERM, signal.SIGINT})

ONE_SIGNAL_SECONDS: Final = 1.0
"""A process manager may signal the whole group, and supervisor its workers once more."""

RELAY_HOLD: Final = "relay"
STOPPING_HOLD: Final = "stopping"
FULL_HOLD: Final = "full"
LEDGER_HOLD: Final = "ledger"
PAUSED_HOLD: Final = "paused"
HOLDS: Final = (RELAY_HOLD, LEDGER_HOLD, FULL_HOLD, PAUSED_HOLD, STOPPING_HOLD)


class Daemon:
    """One consumer process: an I/O thread for the broker, and a thread per SMTP session."""

    def __init__(
        self,
        *,
        inbox: Inbox,
        intake: Intake,
        ledger: Ledger | NoLedger,
        hands: Hands,
        desk: Desk,
        consumer: Consumer,
        publisher: ConfirmedPublisher,
        settler: Settler,
        relays: Relays,
        sessions: int,
        keep_house: Callable[[], None],
        is_abandoned: Callable[[], bool],
    ) -> None:
        self._inbox = inbox
        self._intake = intake
        self._ledger = ledger
        self._hands = hands
        self._desk = desk
        self._consumer = consumer
        self._publisher = publisher
        self._settler = settler
        self._relays = relays
        self._keep_house = keep_house
        self._is_abandoned = is_abandoned
        self._stop = threading.Event()
        self._stops: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._exit_code = ExitCode.OK
        self._signalled_seconds = math.inf
        self._returns = threading.Thread(target=self._return_long_held, name="returns", daemon=True)
        self._sessions = [
            SessionThread(
                number,
                inbox=inbox,
                desk=desk,
                release=intake.release,
                is_current=consumer.is_current,
                relays=relays,
                stop=self._stop,
            )
            for number in range(sessions)
        ]

    def run(self, grace_seconds: float) -> ExitCode:
        """Serve until SIGTERM or SIGINT, then stop within `grace_seconds`; return the exit code.

        What the relay has begun to take is finished, the rest goes back to the broker. A second
        signal, a second later or more, exits at once. `CONFIG`: the broker's topology is of another
        shape.
        """
        for number in STOPS:
            signal.signal(number, self._on_signal)
        # supervisor's children start with these blocked; one that came meanwhile is taken now.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        threading.excepthook = self._on_thread_died
        self._relays.on_change(self._breaker_changed)
        self._ledger.start(self._ledger_changed)
        self._intake.start()
        self._consumer.start(self._intake)
        for session in self._sessions:
            session.start()
        self._returns.start()
        while not self._stop.is_set():
            self._look_after()
            with suppress(queue.Empty):
                self._stops.get(timeout=HOUSEKEEPING_SECONDS)
                self._stop.set()
        self._shut_down(grace_seconds)
        return self._exit_code

    def pause(self, lanes: frozenset[Lane]) -> None:
        """Take mail of all lanes but these; what of them is not begun goes back to the broker."""
        self._consumer.hold(PAUSED_HOLD, lanes)
        self._consumer.release(PAUSED_HOLD, frozenset(Lane) - lanes)

    def _look_after(self) -> None:
        self._keep_house()
        if self._is_abandoned():
            self._stops.put("supervisor is gone")
        if self._consumer.mismatch is not None:
            self._exit_code = ExitCode.CONFIG
            self._stops.put("topology")

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        now_seconds = time.monotonic()
        if now_seconds - self._signalled_seconds > ONE_SIGNAL_SECONDS:
            os._exit(128 + number)
        self._signalled_seconds = min(self._signalled_seconds, now_seconds)
        # Setting an event could deadlock: the handler may interrupt its very wait.
        self._stops.put(f"signal {number}")

    def _on_thread_died(self, died: threading.ExceptHookArgs) -> None:
        name = died.thread.name if died.thread is not None else "unknown"
        # Where it happened, never the exception's text: that may hold a body.
        log.critical("thread died", extra={"thread_name": name, "detail": place_of(died.exc_value)})
        self._exit_code = ExitCode.SOFTWARE
        self._stops.put("thread died")

    def _shut_down(self, grace_seconds: float) -> None:
        deadline = time.monotonic() + max(0.0, grace_seconds - LEAVE_SECONDS)
        self._desk.last_dot_seconds = deadline - min(LAST_WORD_SECONDS, grace_seconds / 2)

        def left() -> float:
            return max(0.0, deadline - time.monotonic())

        log.info("stopping")
        self._consumer.hold(STOPPING_HOLD)
        self._intake.close()
        self._inbox.close()
        have_ended = [session.join(left()) for session in self._sessions]
        in_time = self._settler.wait_idle(left()) and all(have_ended)
        in_time = self._consumer.close(LEAVE_SECONDS / 3) and in_time
        self._publisher.close(LEAVE_SECONDS / 3)
        in_time = self._ledger.close(LEAVE_SECONDS / 3) and in_time
        self._hands.close()
        self._relays.stop()
        if in_time:
            log.info("stopped")
        else:
            log.warning("stopped", extra={"detail": "work was unfinished: it is delivered again"})

    def _breaker_changed(self) -> None:
        if self._relays.is_open:
            self._consumer.hold(RELAY_HOLD)
        else:
            self._consumer.release(RELAY_HOLD)

    def _ledger_changed(self, is_in_trouble: bool) -> None:  # noqa: FBT001 - the ledger's callback
        if is_in_trouble:
            self._consumer.hold(LEDGER_HOLD)
            self._consumer.give_back()
        else:
            self._consumer.release(LEDGER_HOLD)

    def _return_long_held(self) -> None:
        # A thread of its own: a broker that blocks publishers would hold up the main one.
        while not self._stop.wait(HOUSEKEEPING_SECONDS):
            now = time.monotonic()
            self._return_paused(now)
            held = self._inbox.take_older_than(now - LONGEST_HOLD_SECONDS)
            self._return(held, self._desk.return_to_lane)
            waiting = self._intake.take_older_than(now - LONGEST_WAIT_SECONDS)
            self._return(waiting, self._desk.set_aside)

    def _return_paused(self, now: float) -> None:
        # Each time anew: what was on its way, or put back by a session, comes later.
        lanes = self._consumer.lanes_held(PAUSED_HOLD)
        if not lanes:
            return
        mails = [
            *self._inbox.take_older_than(now, lanes),
            *self._intake.take_older_than(now, lanes),
        ]
        for mail in mails:
            self._intake.release(mail)
        if mails:
            self._consumer.requeue(mail.delivery for mail in mails)

    def _return(self, mails: list[Mail], how: Callable[[Mail], None]) -> None:
        for mail in mails:
            if self._consumer.is_current(mail.delivery):
                how(mail)
            else:
                self._intake.release(mail)
