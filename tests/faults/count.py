"""Counts as Jepsen's total-queue checker does, and holds the figures against the promise.

https://github.com/rabbitmq/jepsen: attempted, confirmed, lost, unexpected, duplicated, recovered.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.faults.attempts import NAME, SECRET, Ends
from tests.faults.sink import Pair

MAY_BE_BOTH: Final = "in_doubt"
"""The one dead-letter reason that does not say that the mail was surely not accepted."""

PROTOCOL_SLIPS: Final = ("unknown delivery tag", "UNEXPECTED_FRAME")
SHOWN: Final = 5


@dataclass(frozen=True)
class Count:
    """What became of every recipient of every message.

    `dead` has the reason by pair, `in_doubt` how many recipients' transactions of a message were
    reported in doubt, `left` what remains in a queue, `logs` all that was logged.
    `duplicates_allowed` are those no report excuses: above 0 only where there is no ledger.
    """

    ends: Ends
    accepted: Counter[Pair]
    dead: Mapping[Pair, str]
    in_doubt: Counter[str]
    left: Mapping[str, int] = field(default_factory=dict)
    logs: Iterable[str] = ()
    duplicates_allowed: int = 0

    @property
    def lost(self) -> set[Pair]:
        """Confirmed, and neither accepted nor dead."""
        return self._pairs(self.ends.confirmed) - self._found

    @property
    def unexpected(self) -> set[Pair]:
        """Found although never attempted, or although the call said it was not published."""
        return self._found - self._pairs(self.ends.confirmed | self.ends.unknown)

    @property
    def recovered(self) -> set[Pair]:
        """Found although the publisher could not tell."""
        return self._found & self._pairs(self.ends.unknown)

    @property
    def duplicated(self) -> Counter[Pair]:
        """How many copies too many were accepted."""
        return Counter({pair: copies - 1 for pair, copies in self.accepted.items() if copies > 1})

    @property
    def unexcused(self) -> dict[str, int]:
        """Of each message the duplicates that nobody reported to be in doubt."""
        copies: Counter[str] = Counter()
        for (message_id, _recipient), more in self.duplicated.items():
            copies[message_id] += more
        return dict(copies - self.in_doubt)

    @property
    def broken(self) -> list[str]:
        """The invariants that do not hold, each as a sentence with examples; empty: all hold."""
        both = [pair for pair in self.accepted if self.dead.get(pair, MAY_BE_BOTH) != MAY_BE_BOTH]
        unexcused = self.unexcused
        is_excused = sum(unexcused.values()) <= self.duplicates_allowed
        found = (
            ("I1 lost", self.lost),
            ("I2 unexpected", self.unexpected),
            ("I3 duplicated without doubt", () if is_excused else unexcused.items()),
            ("I4 left in queues", [item for item in self.left.items() if item[1]]),
            ("I5 accepted and dead", both),
            ("I6 protocol slips", self._lines_with(PROTOCOL_SLIPS)),
            ("I7 secrets in logs", self._lines_with((SECRET, NAME))),
        )
        return [_sentence(name, list(cases)) for name, cases in found if cases]

    def figures(self) -> dict[str, int]:
        """Return the counts, in recipients."""
        return {
            "attempted": len(self._pairs(self.ends.attempted)),
            "confirmed": len(self._pairs(self.ends.confirmed)),
            "unknown": len(self._pairs(self.ends.unknown)),
            "failed": len(self._pairs(self.ends.failed)),
            "accepted": len(self.accepted),
            "dead": len(self.dead),
            "lost": len(self.lost),
            "duplicated": self.duplicated.total(),
            "in_doubt": self.in_doubt.total(),
            "recovered": len(self.recovered),
            "unexpected": len(self.unexpected),
        }

    def holds(self) -> None:
        """Fail with a readable report unless every invariant holds."""
        assert not self.broken, "\n".join((*self.broken, str(self.figures())))

    @property
    def _found(self) -> set[Pair]:
        return set(self.accepted) | set(self.dead)

    def _pairs(self, message_ids: Iterable[str]) -> set[Pair]:
        return {
            (message_id, recipient)
            for message_id in message_ids
            for recipient in self.ends.attempted.get(message_id, ())
        }

    def _lines_with(self, words: tuple[str, ...]) -> list[str]:
        return [line for line in self.logs if any(word in line for word in words)]


def in_doubt_by_message(lines: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """Count the recipients whose transaction the consumers' log reports in doubt."""
    found: Counter[str] = Counter()
    for line in lines:
        if line.get("event") == "handled":
            for told in line.get("verdicts", (line,)):
                if told["outcome"] == "in_doubt":
                    found[line["message_id"]] += told["recipients"]
    return found


def _sentence(name: str, cases: list[Any]) -> str:
    more = f" and {len(cases) - SHOWN} more" if len(cases) > SHOWN else ""
    return f"{name}: {', '.join(map(str, sorted(cases)[:SHOWN]))}{more}"
