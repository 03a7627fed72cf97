"""Which dead letters are to be sent again, and which are left, and why."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from consumer.core.dead_body import BodyState
from consumer.core.dead_letter import DeadLetter
from consumer.core.dead_letter_choice import Agreed, Choice
from consumer.core.disposition import Reason

COME_BACK: Final = frozenset(
    {
        Reason.INVALID,
        Reason.INVALID_JSON,
        Reason.TOO_LARGE,
        Reason.MISSING_MESSAGE_ID,
        Reason.UNSUPPORTED_TYPE,
        Reason.UNSUPPORTED_CONTENT,
        Reason.UNDECODABLE_PROPERTIES,
        Reason.EXPIRED,
        Reason.CONFLICT,
    }
)
"""What is wrong is in the message itself."""


@dataclass
class ReplayPlan:
    """What is to be sent again, and what is not, and why."""

    choice: Choice
    believe: bool
    agreed: Agreed = field(default_factory=Agreed)
    reasons: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """How many are to be sent again."""
        return self.reasons.total()

    def add(self, letter: DeadLetter) -> None:
        """Take one that was meant into the plan, or leave it."""
        if why := self._why_left(letter):
            self.left[why] += 1
        else:
            self.agreed.add(letter)
            self.reasons[letter.reason] += 1

    def lines(self) -> Iterator[str]:
        """Return what is to be done, in words."""
        for reason, number in self.reasons.most_common():
            back = "; most likely they come back: see `edit`" if reason in COME_BACK else ""
            yield f"  {number:>6} {reason}{back}"
        for why, number in self.left.most_common():
            yield f"  {number:>6} not sent again: {why}"

    def _why_left(self, letter: DeadLetter) -> str:
        if letter.body is BodyState.REDACTED:
            return "their bodies were not kept"
        if not letter.is_trusted and not self.believe:
            return (
                "no login that is trusted signed their headers; name it in"
                " HOPMAIL_OPERATOR_LOGINS, or say --believe"
            )
        if letter.reason == Reason.IN_DOUBT and Reason.IN_DOUBT not in self.choice.reasons:
            return "in doubt: the relay may have them; see `resolve`, or say --reason in_doubt"
        return ""
