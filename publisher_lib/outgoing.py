"""One message on its way to the broker, and which error is true of it when it fails."""

import math
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final

from publisher_lib.errors import (
    NotPublished,
    OutcomeUnknown,
    PublishError,
    Rejected,
    Unroutable,
)

CURE: Final = "start the consumer, or run `hopmail topology apply`"
"""For queues or exchanges that are not there."""

IN_DOUBT: Final = (
    "the message may or may not be on the broker, publish it again with the same message_id"
)


# Without repr: pika logs its callbacks at DEBUG, and a body must never be in a log.
@dataclass(slots=True, eq=False, repr=False)
class Outgoing:
    """A message and its future. `deadline` is of the monotonic clock, infinity for none.

    `in_flight`: written to the open channel, not answered yet. `doubt`: why an earlier copy may
    be on the broker, empty while that cannot be; from then on no failure can say "not there".
    """

    exchange: str
    routing_key: str
    properties: Any
    body: bytes
    deadline: float
    receipt: Any
    future: Future[Any] = field(default_factory=Future)
    in_flight: bool = False
    returned: str = ""
    doubt: str = ""
    nacks: int = 0
    settled: bool = False

    @property
    def waits_for_ever(self) -> bool:
        """Whether it has no deadline."""
        return self.deadline == math.inf

    def begin(self) -> bool:
        """Make sure that it is still wanted; from then on its sender cannot cancel it."""
        if not self.settled and not self.future.running():
            self.settled = not self.future.set_running_or_notify_cancel()
        return not self.settled

    def doubted(self, why: str) -> None:
        """Note that the copy in flight was lost sight of."""
        self.in_flight = False
        self.doubt = self.doubt or why

    def confirm(self) -> None:
        """Succeed."""
        if self.begin():
            self.settled = True
            self.future.set_result(self.receipt)

    def unroutable(self) -> None:
        """Fail: the broker gave it back."""
        self._fail(
            Unroutable,
            f"the broker returned the message ({self.returned}): no queue is bound to exchange "
            f"{self.exchange!r} with routing key {self.routing_key!r}; {CURE}",
        )

    def reject(self, words: str) -> None:
        """Fail: the broker refused it, in these words."""
        # The same refusal twice: what cast the doubt was that the first copy was refused, too.
        if self.doubt == words:
            self.doubt = ""
        self._fail(Rejected, f"the broker refused the message: {words}")

    def expire(self, why: str) -> None:
        """Fail: there is no more time."""
        if self.in_flight:
            self.doubted("it was written, its confirm did not come")
        if self.nacks:
            self._fail(Rejected, "the broker refused the message: the queue is full")
        else:
            self._fail(NotPublished, f"not published: {why}")

    def _fail(self, kind: type[PublishError], text: str) -> None:
        """Fail with the error that is true if no copy can be on the broker, else in doubt."""
        if self.doubt:
            kind = OutcomeUnknown
            text = f"{IN_DOUBT} ({self.doubt}). The last attempt: {text}"
        if self.begin():
            self.settled = True
            self.future.set_exception(kind(text, self.properties.message_id))
