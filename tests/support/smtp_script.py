"""What a scripted SMTP server does instead of what is right: events, and at which stage."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum


class Then(Enum):
    """How an event goes on after its octets."""

    GO_ON = "go on"
    CLOSE = "close"
    RESET = "reset"
    WAIT = "wait"


@dataclass(frozen=True)
class Event:
    """Octets to write, one every `every_seconds` or at once, again and again or once.

    They come `after_seconds`, as they do from a relay far away or busy.
    """

    octets: bytes = b""
    then: Then = Then.GO_ON
    every_seconds: float = 0.0
    for_ever: bool = False
    after_seconds: float = 0.0

    @property
    def is_positive(self) -> bool:
        """Whether it is a plain 2yz reply."""
        ends = self.then is Then.GO_ON and not self.every_seconds and not self.for_ever
        return ends and self.octets.startswith(b"2")


def say(*lines: str) -> Event:
    """Answer with these lines, code and all."""
    return Event(_lines(lines))


def late(after_seconds: float, *lines: str) -> Event:
    """Answer with these lines after a while."""
    return Event(_lines(lines), after_seconds=after_seconds)


def hang_up(*lines: str) -> Event:
    """Answer with these lines, if any, and close the connection."""
    return Event(_lines(lines), Then.CLOSE)


def reset(*lines: str) -> Event:
    """Answer with these lines, if any, and reset the connection."""
    return Event(_lines(lines), Then.RESET)


def silence() -> Event:
    """Never answer; the connection stays."""
    return Event(then=Then.WAIT)


def garbage() -> Event:
    """Answer with what is no reply."""
    return say("\x00HTTP/1.1 400 Bad Request")


def drip(text: str, every_seconds: float) -> Event:
    """Answer octet by octet."""
    return Event(text.encode(), Then.WAIT, every_seconds)


def endless() -> Event:
    """Answer with a reply that has no last line."""
    return Event(b"250-" + b"x" * 500 + b"\r\n", for_ever=True)


Rule = Event | Sequence[Event | None] | Callable[[str], Event | None]
"""An event each time; or one after the other, None and what follows being the normal answer; or
by the command's argument."""

STAGES = (
    *("CONNECT", "GREETING", "EHLO", "HELO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA"),
    *("CONTENT", "END_OF_DATA", "RSET", "NOOP", "QUIT"),
)


class Script:
    """The rules by stage; stages without one go as they should.

    CONNECT comes before the greeting, CONTENT after the content's first octet. A rule may be
    set and taken away while the server runs.
    """

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self._rules: dict[str, Rule] = {}
        for stage, rule in rules.items():
            self[stage] = rule

    def __setitem__(self, stage: str, rule: Rule) -> None:
        assert stage in STAGES, stage
        self._rules[stage] = list(rule) if isinstance(rule, Sequence) else rule

    def clear(self) -> None:
        """Do everything right from now on."""
        self._rules = {}

    def event(self, stage: str, argument: str = "") -> Event | None:
        """Return what to do now instead of what is right."""
        rule = self._rules.get(stage)
        if isinstance(rule, list):
            return rule.pop(0) if rule else None
        if callable(rule):
            return rule(argument)
        assert rule is None or isinstance(rule, Event)
        return rule


def by_recipient(events: Mapping[str, Event]) -> Rule:
    """Return a rule for RCPT that answers to some recipients with an event."""
    return lambda argument: events.get(argument.partition("<")[2].partition(">")[0])


def _lines(lines: tuple[str, ...]) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()
