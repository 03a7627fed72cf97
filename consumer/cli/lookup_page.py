"""`hopmail lookup` for a person's eyes: where it is, then how it came there."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from consumer.cli.lookup_sources import Shown, Sources
from consumer.core.durations import spell_duration
from consumer.core.found import (
    HANDLED,
    DeadSeen,
    Line,
    Told,
    attempt_of,
    replayed_of,
    verdicts_of,
    word,
)
from consumer.core.places import Place, Whereabouts
from consumer.core.story import Part, Story, made_at
from consumer.ops.lines import plain

SHOWN_NAMES: Final = 5

STYLES: Final = {
    Place.ACCEPTED: "green",
    Place.SETTLED: "green",
    Place.DEAD_LETTER: "red",
    Place.FORMER_DEAD_LETTER: "yellow",
    Place.IN_DOUBT: "red",
    Place.UNKNOWN: "yellow",
}

WHERE: Final = "HOPMAIL_AMQP_URL, HOPMAIL_STATE_DIR, HOPMAIL_LEDGER_URL and HOPMAIL_LOG_DIR"

HEAD: Final = ("at (UTC)", "worker", "attempt", "what the log tells")
OF_EVERY_LINE: Final = frozenset({"logger", "worker", "level", "message_id", "traceparent"})


def page(story: Story, sources: Sources, *, addresses: bool) -> RenderableType:
    """Return the page."""
    shown = Shown(addresses)
    parts: list[RenderableType] = []
    for part in story.parts:
        parts += [*_part(story, part, shown), ""]
    if not story.parts:
        parts += _nothing(story, sources)
    parts += _rows(story)
    if remarks := [*_remarks(story, sources)]:
        parts += ["", *remarks]
    return Group(*parts)


def _nothing(story: Story, sources: Sources) -> Iterator[Text]:
    seen = (
        "not seen by this host's consumers"
        if sources.are_all_read
        else "no trace of it in what could be looked into"
    )
    text = "it may still wait in its lane, or was never published; see `hopmail status`"
    yield _text(f"✗ {story.message_id}: {seen}: {text}", style="red")
    if (made := made_at(story.message_id)) is not None:
        yield _text(f"  its id was made at {_moment(made)}")


def _part(story: Story, part: Part, shown: Shown) -> Iterator[Text]:
    whose = {None: "login not known", "": "no login"}.get(part.login, f"login {part.login}")
    apps = (f"app {app}" for app in part.app_ids)
    yield _text(" · ".join((story.message_id, whose, *apps)), style="bold")
    if part.published is not None:
        about = "" if part.published.is_certain else "about "
        source = part.published.source
        yield _text(f"  published {about}{_moment(part.published.at)} ({source})")
    if part.replayed:
        times = f"{part.replayed} time{'' if part.replayed == 1 else 's'}"
        at = f", last at {_moment(part.replayed_at)}" if part.replayed_at else ""
        yield _text(f"  sent again by a person: {times}{at}")
    for place in part.places:
        yield from _place(story, place, shown)
    if not part.places:
        yield _text("  what became of it is not known", style="yellow")
    for each in part.dead:
        yield _text(f"  dead letter {shown.words(each.reason, ())}: {_dead(each, shown)}")
    if part.known is not None and part.known.deaths:
        yield _text(f"  processes that ended with it in hands: {part.known.deaths}", style="yellow")


def _place(story: Story, place: Whereabouts, shown: Shown) -> Iterator[Text]:
    said = f": {shown.words(place.said, place.names)}" if place.said else ""
    until = ""
    if place.until is not None:
        since = "since" if place.until <= story.now else "until"
        until = f", {since} about {place.until:%Y-%m-%d %H:%M:%S}"
    inferred = "" if place.is_certain else " (inferred)"
    count = f"{_recipients(place.count)} " if place.count else ""
    mark = "→" if place.is_certain else "~"
    text = f"  {mark} {count}{place.text}{said}{until}{inferred}"
    yield _text(text, style=STYLES.get(place.place, ""))
    if place.names:
        names = ", ".join(shown.name(name) for name in place.names[:SHOWN_NAMES])
        more = len(place.names) - SHOWN_NAMES
        yield _text(f"    {names}{f' and {more} more' if more > 0 else ''}")


def _dead(dead: DeadSeen, shown: Shown) -> str:
    at = f", last at {_moment(dead.last_attempt)}" if dead.last_attempt else ""
    detail = f"; {told}" if (told := shown.detail(dead)) else ""
    return f"lane {dead.lane}, attempt {dead.attempt}{at}{detail}"


def _rows(story: Story) -> Iterator[Text]:
    # No table of rich's: it cuts off what is wider than the terminal.
    rows = [
        (_moment(line.at), line.worker, _attempt(line), what)
        for line in story.lines
        for what in _what(line)
    ]
    if not rows:
        return
    widths = [max(map(len, column)) for column in zip(HEAD, *rows, strict=True)]
    for row, style in ((HEAD, "dim"), *((row, "") for row in rows)):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield _text("   ".join(cells).rstrip(), style=style)


def _attempt(line: Line) -> str:
    times = replayed_of(line)
    return f"{attempt_of(line) or ''}{f' of replay {times}' if times else ''}"


def _what(line: Line) -> Iterator[str]:
    if line.event != HANDLED:
        rest = (
            f"{name}={value}" for name, value in line.fields.items() if name not in OF_EVERY_LINE
        )
        yield " ".join((line.event, *rest))
        return
    relay = word(line.fields, "relay")
    for verdict in verdicts_of(line):
        outcome = verdict.outcome.replace("_", " ")
        stage = "" if verdict.outcome == "accepted" else verdict.stage
        said = " ".join(filter(None, (stage, verdict.reply)))
        by = f", by {relay}" if relay and said else ""
        count = f" ({_recipients(verdict.recipients)})" if verdict.recipients else ""
        yield f"{outcome}{f': {said}' if said else ''}{by}{_then(verdict)}{count}"


def _then(verdict: Told) -> str:
    match verdict.disposition:
        case "retry":
            after = "" if verdict.delay is None else f" after {spell_duration(verdict.delay)}"
            return f" → again{after}"
        case "dead_letter":
            return f" → dead letter {verdict.reason}"
        case "pause":
            return " → kept until a relay is back"
        case _:
            return ""


def _remarks(story: Story, sources: Sources) -> Iterator[Text]:
    if story.is_ambiguous:
        yield _text(
            "  the log tells no logins: its lines may be of another's message", style="yellow"
        )
    for name, source in sources.named:
        if not source.is_read:
            yield _text(f"  {name} not looked into: {source.detail}", style="yellow")
        elif source.detail:
            yield _text(f"  {name}: {source.detail}", style="yellow")
    if not (story.is_found and sources.are_all_read):
        yield _text(f"  looked where this shell's settings say: {WHERE} must be the workers'")


def _recipients(count: int) -> str:
    return f"{count} recipient{'' if count == 1 else 's'}"


def _text(text: str, style: str = "") -> Text:
    # Others worded some of it.
    return Text(plain(text), style=style)


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03}"
