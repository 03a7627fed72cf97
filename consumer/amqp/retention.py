"""Removes dead letters that have lain long enough, where that is wanted: they may hold secrets."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta
from typing import Final

from consumer.amqp.connection import BrokerUnavailable
from consumer.amqp.dead_letters import LOOKING, MayNotRead, dead_letters
from consumer.amqp.hold import InOtherHands
from consumer.core.crash import place_of
from consumer.core.dead_letter import DeadLetter, read_dead_letter
from consumer.core.delivery import Delivery
from consumer.core.durations import spell_duration
from consumer.core.retention import Announced

log = logging.getLogger(__name__)

NOTICE: Final = timedelta(hours=1)
FIRST_SECONDS: Final = 60.0
PASS_SECONDS: Final = 1800.0
AGAIN_SECONDS: Final = 60.0
"""Until the next pass where a person has the dead letters in hands, or the broker is away."""


class Retention:
    """Looks through the dead letters every half an hour, in a thread and over its own connection.

    What is older than `retention` is announced in the log, and removed an hour later at the
    earliest; a process that was started anew announces anew. `removed` is told the reason of each.
    """

    def __init__(
        self,
        urls: tuple[str, ...],
        retention: timedelta,
        trusted_logins: AbstractSet[str],
        removed: Callable[[str], None],
    ) -> None:
        self._urls = urls
        self._retention = retention
        self._trusted_logins = trusted_logins
        self._removed = removed
        self._announced = Announced(retention, NOTICE)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        """Begin, a while later."""
        self._thread.start()

    def close(self, timeout_seconds: float) -> None:
        """Look no more."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        seconds = FIRST_SECONDS
        while not self._closing.wait(seconds):
            seconds = PASS_SECONDS if self._pass() else AGAIN_SECONDS

    def _pass(self) -> bool:
        try:
            self._look_through()
        except MayNotRead as error:
            # Not for the next minute to mend: told as loud as what it keeps from being removed.
            detail = f"{error}: with --retention, of the consumer"
            log.warning("dead letters not looked through", extra={"detail": detail})
        except (BrokerUnavailable, InOtherHands) as error:
            log.info("dead letters not looked through", extra={"detail": str(error)})
            return False
        except Exception as error:  # noqa: BLE001 - no bug in here may end the process
            log.warning("dead letters not looked through", extra={"detail": place_of(error)})
        return True

    def _look_through(self) -> None:
        now, now_seconds = datetime.now(UTC), time.monotonic()
        announced, old, new = self._announced, set[str](), 0
        gone: Counter[str] = Counter()

        def look(delivery: Delivery) -> tuple[Delivery, DeadLetter] | None:
            nonlocal new
            letter = read_dead_letter(delivery, self._trusted_logins, now)
            if announced.may_go(letter, now, now_seconds):
                return delivery, letter
            if announced.is_past(letter, now):
                old.add(letter.id)
                new += announced.is_new(letter, now_seconds)
            return None

        announced.begin(now, now_seconds)
        try:
            with dead_letters(self._urls, LOOKING, 0.0) as queue:
                for delivery, letter in queue.each(look):
                    if self._closing.is_set():
                        return
                    queue.ack(delivery)
                    gone[letter.reason] += 1
                    self._removed(letter.reason)
            announced.keep_only(old)
        finally:
            self._tell(new, gone)

    def _tell(self, new: int, gone: Counter[str]) -> None:
        older = {"older_than": spell_duration(self._retention)}
        if gone:
            log.warning("dead letters removed", extra=older | {"count": gone.total(), **gone})
        if new:
            log.warning(
                "dead letters will be removed",
                extra=older
                | {"count": new, "not_before": f"{datetime.now(UTC) + NOTICE:%F %T} UTC"},
            )
