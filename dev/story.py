"""What became of each of the demo's messages, and how it is told."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from dev.cases import ACCEPTED, DEAD, Case
from dev.dead_letters import DeadLetter
from dev.terminal import Colour, duration, paint, table

UNKNOWN: Final = "unknown"
HEAD: Final = ("message", "fate", "attempts", "published → accepted")


@dataclass
class Story:
    """One message, as far as its fate is known.

    The fate is read from the Maildir and the dead-letter queue; the consumer's word counts for
    the attempts and the time only.
    """

    case: Case
    mails: int = 0
    dead_letter: DeadLetter | None = None
    handled: list[dict[str, Any]] = field(default_factory=list)

    @property
    def fate(self) -> str:
        """Where the message is; in more than one place if it was doubled."""
        return " and ".join([ACCEPTED] * self.mails + [DEAD] * bool(self.dead_letter)) or UNKNOWN

    @property
    def attempts(self) -> int:
        """The number of the last attempt."""
        return max((line["attempt"] for line in self.handled), default=0)

    @property
    def latency(self) -> str:
        """From `publish` to the relay's acceptance."""
        found = [line["latency_seconds"] for line in self.handled if line.get("latency_seconds")]
        return duration(found[-1]) if found else "-"

    @property
    def is_over(self) -> bool:
        """Whether the fate is known, and the consumer has said its last word on it."""
        return self.fate != UNKNOWN and self.attempts >= self.case.attempts

    @property
    def is_as_expected(self) -> bool:
        """Whether all went as it must."""
        return (self.fate, self.attempts) == (self.case.fate, self.case.attempts)


def tell(stories: Sequence[Story]) -> Iterator[str]:
    """Return the lines that tell a person what became of the messages."""
    cells = [(s.case.title, s.fate, str(s.attempts), s.latency) for s in stories]
    head, *rows = table([HEAD, *cells])
    yield "  " + paint("   ".join(head), Colour.BOLD)
    for story, (title, fate, *figures) in zip(stories, rows, strict=True):
        yield "  " + "   ".join([title, paint(fate, _colour(story)), *figures]).rstrip()
    for story in stories:
        if story.dead_letter is not None:
            yield ""
            yield f"  {paint('dead letter', Colour.YELLOW)} · {story.case.title}"
            yield from (f"    {line}" for line in story.dead_letter.lines())


def differences(stories: Sequence[Story]) -> Iterator[str]:
    """Return a line for each story that did not end as it must."""
    for story in stories:
        if not story.is_as_expected:
            yield (
                f"{story.case.title}: {story.fate} after {story.attempts} attempts, "
                f"expected {story.case.fate} after {story.case.attempts}"
            )


def _colour(story: Story) -> Colour:
    if not story.is_as_expected:
        return Colour.RED
    return Colour.GREEN if story.fate == ACCEPTED else Colour.YELLOW
