"""The ledger as the daemon sees it: claims and endings, committed in groups by one thread."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from datetime import timedelta
from typing import Final

from consumer.core.ledger import Claim, Ended, Ending, Wanted
from consumer.ledger.group import Granted, Group
from consumer.ledger.housekeeping import Housekeeping
from consumer.ledger.store import LedgerTrouble, Notes, Store

log = logging.getLogger(__name__)

AGAIN_SECONDS: Final = 1.0
HOUSEKEEPING_SECONDS: Final = 5.0

CROWD: Final = 4
LINGER_SECONDS: Final = 0.002
"""While much comes, for more of it: each group wakes threads, which costs more than its work."""


class Ledger:
    """Grants and ends claims. What the store cannot take waits until it can.

    Callbacks run on the ledger's thread, in the order in which they were handed in, and must not
    block. Thread-safe.
    """

    def __init__(self, store: Store, notes: Notes, retention: timedelta) -> None:
        self._store = store
        self._notes = notes
        self._housekeeping = Housekeeping(store, retention)
        self._next = Group()
        self._came = threading.Condition()
        self._failure = ""
        self._trouble = ""
        self._closing = threading.Event()
        self._ended = False
        self._is_crowded = False
        self._unkept = False
        self._on_trouble: Callable[[bool], None] = lambda _is_in_trouble: None
        self._wrote: Callable[[float], None] = lambda _seconds: None
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)

    def start(self, on_trouble: Callable[[bool], None]) -> None:
        """Begin. `on_trouble` is called with True when it can't be written, False when it can."""
        self._on_trouble = on_trouble
        self._thread.start()

    def time_writes(self, wrote: Callable[[float], None]) -> None:
        """Have `wrote` called with the seconds that each commit of a group takes."""
        self._wrote = wrote

    @property
    def trouble(self) -> str:
        """Why it cannot be written now; empty while it can."""
        return self._trouble

    @property
    def is_in_trouble(self) -> bool:
        """Whether it cannot be written now."""
        return bool(self._trouble)

    @property
    def size_bytes(self) -> float:
        """What it took where it is kept, half a minute ago at most; NaN while that is not known."""
        return self._housekeeping.size_bytes

    def claim(self, wanted: Sequence[Wanted], done: Granted) -> None:
        """Ask for messages' recipients; `done` gets what was granted, once that is kept."""
        with self._came:
            self._next.wanted.extend(wanted)
            self._next.granted.append((len(wanted), done))
            self._came.notify()

    def end(
        self, claim: Claim, endings: Mapping[str, Ending], done: Callable[[], None] | None = None
    ) -> None:
        """End a claim; `done` is called once that is kept."""
        with self._came:
            self._next.ended.append((Ended(claim, endings), done or _nothing))
            self._came.notify()

    def deaths(self, fingerprints: Sequence[bytes]) -> dict[bytes, int]:
        """Return how many processes ended with each message in hands; waits for the ledger.

        Raises CancelledError when the ledger is closed meanwhile.
        """
        answer: Future[dict[bytes, int]] = Future()
        with self._came:
            if self._ended:
                answer.cancel()
            else:
                self._next.asked.append((fingerprints, answer))
                self._came.notify()
        return answer.result()

    def sending(self, claim: Claim, recipients: Iterable[str]) -> bool:
        """Note that the dot is due; False: it must not be sent."""
        try:
            return self._notes.sending(claim, recipients)
        except (OSError, LedgerTrouble) as error:
            self._report(error)
            return False

    def answered(self, claim: Claim, endings: Mapping[str, Ending]) -> None:
        """Note how a claim will end, before the messages that must follow are published."""
        try:
            self._notes.answered(claim, endings)
        except (OSError, LedgerTrouble) as error:
            self._report(error)

    def close(self, timeout_seconds: float) -> bool:
        """Commit what was handed in, then end; False: not all of it, or not in time."""
        with self._came:
            self._closing.set()
            self._came.notify()
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive() and not self._unkept

    def _report(self, error: Exception) -> None:
        with self._came:
            self._failure = str(error)
            self._came.notify()

    def _run(self) -> None:
        group = Group()
        while True:
            try:
                self._housekeeping.do_what_is_due()
                claims = self._commit(group)
            except LedgerTrouble as trouble:
                self._enter(str(trouble))
                if self._closing.is_set():
                    break
                time.sleep(AGAIN_SECONDS)
                continue
            self._leave()
            group.tell_granted(claims)
            group = self._take()
            if self._closing.is_set() and not group:
                break
        self._give_up(group)

    def _take(self) -> Group:
        with self._came:
            self._came.wait_for(
                lambda: self._next or self._closing.is_set() or self._failure, HOUSEKEEPING_SECONDS
            )
        if self._is_crowded:
            self._closing.wait(LINGER_SECONDS)
        with self._came:
            group, self._next = self._next, Group()
        self._is_crowded = len(group.wanted) + len(group.ended) > CROWD
        return group

    def _commit(self, group: Group) -> list[Claim]:
        failure, self._failure = self._failure, ""
        if failure:
            self._enter(failure)
        if self.is_in_trouble:
            self._check_notes()
        return group.commit(self._store, self._notes, self._wrote)

    def _check_notes(self) -> None:
        try:
            self._notes.check()
        except OSError as error:
            raise LedgerTrouble(f"its journal: {error.strerror}") from error

    def _enter(self, trouble: str) -> None:
        if self._trouble:
            return
        self._trouble = trouble
        log.error("ledger in trouble", extra={"detail": trouble})
        self._on_trouble(True)  # noqa: FBT003 - a callback

    def _leave(self) -> None:
        if not self._trouble:
            return
        self._trouble = ""
        log.warning("ledger is back")
        self._on_trouble(False)  # noqa: FBT003 - a callback

    def _give_up(self, group: Group) -> None:
        with self._came:
            self._ended = True
            self._unkept = bool(group or self._next)
            group.let_go()
            self._next.let_go()
        self._store.close()
        self._notes.close()


def _nothing() -> None:
    """Stand for a callback that nobody gave."""
