"""Which dead letters have lain long enough to be removed: announced first, and then again seen."""

from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import Final

from consumer.core.dead_letter import DeadLetter
from consumer.core.disposition import Reason

OURS: Final = frozenset(reason.value for reason in Reason)

MAX_CLOCK_STEP_SECONDS: Final = 60.0
"""By which the clock may differ from the monotonic one since the announcement."""


class Announced:
    """The dead letters that were announced, each to be removed at the earliest `notice` later.

    A dead letter that says itself when it died, and whom a login of ours signed, is old enough.
    Whatever else lies there stays: that of a stranger, or of RabbitMQ itself. A clock that was set
    makes none older: all are announced anew.
    """

    def __init__(self, retention: timedelta, notice: timedelta) -> None:
        self._retention = retention
        self._notice_seconds = notice.total_seconds()
        self._since: dict[str, float] = {}
        self._clocks: tuple[float, float] | None = None

    def begin(self, now: datetime, now_seconds: float) -> None:
        """Begin to look through the queue; `now_seconds` is `now` on the monotonic clock."""
        moments = now.timestamp(), now_seconds
        before = self._clocks or moments
        passed, really = moments[0] - before[0], moments[1] - before[1]
        if abs(passed - really) > MAX_CLOCK_STEP_SECONDS:
            self._since.clear()
        self._clocks = moments

    def may_go(self, letter: DeadLetter, now: datetime, now_seconds: float) -> bool:
        """Return whether to remove it now; one that is old enough is announced from now on."""
        if not self.is_past(letter, now):
            return False
        since = self._since.setdefault(letter.id, now_seconds)
        return now_seconds - since >= self._notice_seconds

    def is_past(self, letter: DeadLetter, now: datetime) -> bool:
        """Return whether its time is over."""
        return (
            letter.is_trusted
            and letter.reason in OURS
            and letter.died_at is not None
            and now - letter.died_at > self._retention
        )

    def is_new(self, letter: DeadLetter, now_seconds: float) -> bool:
        """Return whether it was announced just now."""
        return self._since.get(letter.id) == now_seconds

    def keep_only(self, ids: AbstractSet[str]) -> None:
        """Forget those that lie there no more."""
        self._since = {its: since for its, since in self._since.items() if its in ids}
